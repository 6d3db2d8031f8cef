/* What the tests of prices share: a data set, a spec, and the price that is expected.
 */
#ifndef PPT_TESTS_UNIT_PRIVACY_PRICE_FIXTURE_H
#define PPT_TESTS_UNIT_PRIVACY_PRICE_FIXTURE_H

#include "jobs/manifest.h"
#include "jobs/privacy/price.h"
#include "jobs/spec/spec.h"

struct manifest manifest(void);
struct spec spec(void);
struct price price_of(const struct spec *s, const struct manifest *m);
double epsilon_of(const struct cost *cost, double delta);
void expect(const struct spec *s, const struct manifest *m, int code, const char *text);

#endif

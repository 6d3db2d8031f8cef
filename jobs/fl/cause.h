/* Why a party of secure aggregation stops: one name for each reason, so that tests,
 * logs and people speak of the same thing. An error's text is "name: words". */
#ifndef PPT_JOBS_FL_CAUSE_H
#define PPT_JOBS_FL_CAUSE_H

#include "base/error.h"

/* name in the code, name in the text, the error's code */
#define CAUSE_TABLE(X)                                                                 \
    X(CAUSE_MALFORMED, "malformed", PPT_ETRUST)                                        \
    X(CAUSE_OTHER_SESSION, "other_session", PPT_ETRUST)                                \
    X(CAUSE_OUT_OF_TURN, "out_of_turn", PPT_ESTATE)                                    \
    X(CAUSE_ROUND_USED, "round_used", PPT_ETRUST)                                      \
    X(CAUSE_COHORT_TOO_SMALL, "cohort_too_small", PPT_EPOLICY)                         \
    X(CAUSE_BELOW_THRESHOLD, "below_threshold", PPT_EPOLICY)                           \
    X(CAUSE_NOT_CONNECTED, "not_connected", PPT_EPOLICY)                               \
    X(CAUSE_KEY_NOT_SIGNED, "key_not_signed", PPT_ETRUST)                              \
    X(CAUSE_KEY_TWICE, "key_twice", PPT_ETRUST)                                        \
    X(CAUSE_NOT_A_PEER, "not_a_peer", PPT_ETRUST)                                      \
    X(CAUSE_SHARE_NOT_GENUINE, "share_not_genuine", PPT_ETRUST)                        \
    X(CAUSE_LISTS_DIFFER, "lists_differ", PPT_ETRUST)                                  \
    X(CAUSE_LEFT_OUT, "left_out", PPT_ETRUST)                                          \
    X(CAUSE_BOTH_SHARES, "both_shares", PPT_ETRUST)                                    \
    X(CAUSE_WRONG_SHARE, "wrong_share", PPT_ETRUST)                                    \
    X(CAUSE_NOT_REBUILT, "not_rebuilt", PPT_ETRUST)                                    \
    X(CAUSE_TOO_FEW_CONSENT, "too_few_consent", PPT_EPOLICY)                           \
    X(CAUSE_SHARE_TOO_SMALL, "share_too_small", PPT_EPOLICY)                           \
    X(CAUSE_TOO_MANY_LEAVE, "too_many_leave", PPT_EPOLICY)                             \
    X(CAUSE_TOO_LATE, "too_late", PPT_ESTATE)                                          \
    X(CAUSE_RELEASED, "released", PPT_ESTATE)

enum cause {
#define CAUSE_ENUM(name, text, code) name,
    CAUSE_TABLE(CAUSE_ENUM)
#undef CAUSE_ENUM
};

/* "both_shares". */
const char *cause_name(enum cause cause);

/* Fills err with "name: words" and returns the cause's code, negative. */
int cause_set(struct error *err, enum cause cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

/* The parts of the comparison, a file each. */
#ifndef PPT_TESTS_TWINS_COMPARE_H
#define PPT_TESTS_TWINS_COMPARE_H

void compare_layers(void);
void compare_beside(void);
void compare_grid(void);
void compare_tokens(void);

#endif

/* What went wrong, in words a user can act on, and the exit status that says so to a
 * shell.
 *
 * Every function that can fail returns 0 or a negative enum ppt_error and fills a
 * struct error passed as its last argument. Rooms return errors; only programs print
 * them (base/log.h). A NULL struct error is allowed: the code alone is then returned.
 */
#ifndef PPT_BASE_ERROR_H
#define PPT_BASE_ERROR_H

#include <stdarg.h>

/* name, exit status, what the status means. README's table is this one; a test
 * compares them. */
#define PPT_ERROR_TABLE(X)                                                             \
    X(PPT_EINTERNAL, 1, "a bug in ppt: please report it")                              \
    X(PPT_EUSAGE, 2, "the command line is wrong")                                      \
    X(PPT_EIO, 3, "a file or directory cannot be read or written")                     \
    X(PPT_ENOMEM, 4, "out of memory")                                                  \
    X(PPT_ENOTFOUND, 5, "no such job, account, data set or file")                      \
    X(PPT_EEXISTS, 6, "it exists already")                                             \
    X(PPT_ESPEC, 10, "the job spec or another YAML file is not valid")                 \
    X(PPT_EPOLICY, 11, "the site's policy does not allow it")                          \
    X(PPT_EBUDGET, 12, "the privacy budget does not allow it")                         \
    X(PPT_ETRUST, 13, "a key, signature or digest cannot be trusted")                  \
    X(PPT_ERANGE, 14, "a parameter is outside the range where a bound is proven")      \
    X(PPT_EDATA, 15, "a data set is damaged or not what its manifest says")            \
    X(PPT_EDB, 16, "the database cannot be reached or refused the request")            \
    X(PPT_EPERM, 17, "this login may not do that")                                     \
    X(PPT_ESTATE, 18, "the job is not in a state that allows it")                      \
    X(PPT_ELAUNCH, 19, "the job's processes cannot be started")                        \
    X(PPT_EMETER, 20, "the job's reserved budget is used up")                          \
    X(PPT_ECOMM, 21, "a rank was lost or the ranks disagree")                          \
    X(PPT_EJOB, 22, "the job waited for has failed or was refused or cancelled")       \
    X(PPT_EINTERRUPTED, 75, "stopped by a signal after a checkpoint: run it again")

enum ppt_error {
#define PPT_ERROR_ENUM(name, status, text) name = status,
    PPT_ERROR_TABLE(PPT_ERROR_ENUM)
#undef PPT_ERROR_ENUM
};

#define ERROR_TEXT_SIZE 1024
#define ERROR_DETAIL_SIZE 4096 /* room for all faults of a file */

/* Zero-initialise: `struct error err = {0};`. No ownership, copy freely. */
struct error {
    int code;                       /* 0, or an enum ppt_error (positive) */
    char text[ERROR_TEXT_SIZE];     /* what is wrong: no capital, no full stop */
    char detail[ERROR_DETAIL_SIZE]; /* more facts, may be empty, may hold newlines */
    char hint[ERROR_TEXT_SIZE / 2]; /* what to do, may be empty */
};

/* Fills `err` (may be NULL; detail and hint are emptied) and returns -code. */
int error_set(struct error *err, enum ppt_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like error_set, with ": " and strerror(errno) behind the text. */
int error_errno(struct error *err, enum ppt_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets the detail or the hint of an error that error_set filled. Return -err->code. */
int error_detail(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int error_hint(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "text: " in front of the error's text, to say what was being done. */
int error_prefix(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "PPT_EDATA" and its sentence; "PPT_EINTERNAL"'s for an unknown code. */
const char *error_name(int code);
const char *error_sentence(int code);

#endif

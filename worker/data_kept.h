/* The data file of a world's last job, open for the next one: reading its structure
 * again takes longer than a short job's training.
 *
 * It is the same file as long as what the path names has the inode, size and times that
 * it had before and after it was opened, the last change well before. No row is kept:
 * arrays that need rows in memory (chunks) are closed with the job, and a file of
 * virtual arrays wholly. One file a process; not to be used by two threads.
 */
#ifndef PPT_WORKER_DATA_KEPT_H
#define PPT_WORKER_DATA_KEPT_H

#include "base/error.h"
#include "worker/data_h5.h"

/* As data_h5_open, but for the file of the last job where it is that. The digest is to
 * be checked before, kept or not. Pair with data_kept_close. Errors: those of
 * data_h5_open, PPT_ENOMEM. */
int data_kept_open(const char *path, struct data_h5 *ret_data, struct error *err);

/* The job has ended and closed what it opened of the file. One that was never opened is
 * allowed. */
void data_kept_close(struct data_h5 *data);

/* No job has come for a while: others may want to replace the file, or its space. */
void data_kept_forget(void);

#endif

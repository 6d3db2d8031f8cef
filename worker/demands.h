/* What the site demands of the place where a job runs; without it the job does not.
 *
 * Both are what this node's kernel and driver say: against a node that lies, or its
 * root, nothing here helps. What cannot be told counts as not there: network and
 * memory file systems, ZFS, Btrfs, and disks that encrypt themselves, are refused.
 */
#ifndef PPT_WORKER_DEMANDS_H
#define PPT_WORKER_DEMANDS_H

#include <stdbool.h>

#include "base/error.h"

/* The directory's files are encrypted: its own fscrypt policy, or eCryptfs, or a block
 * device of which each part that lies below is dm-crypt (LUKS, plain, TrueCrypt,
 * BitLocker, FileVault; dm-verity, dm-integrity and OPAL disks are not). Not looked at:
 * the cipher, swap, the other file systems that the node writes to. Errors: PPT_EPOLICY
 * (says what is there), PPT_EIO. */
int demands_disk(const char *directory, struct error *err);

/* The block device of this number, as sysfs under `root` ("/sys") tells it. Here for
 * tests. */
bool demands_device(const char *root, unsigned major_number, unsigned minor_number);

/* The driver says that confidential computing is on, in a production environment and
 * without developer tools (NVML, libnvidia-ml.so.1). Errors: PPT_EPOLICY. */
int demands_gpu(struct error *err);

#endif

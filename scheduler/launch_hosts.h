/* The launcher for several hosts without Slurm: mpirun with a hostfile, and an agent
 * (ssh) for what has to be done on other hosts.
 *
 * Where a job's ranks go is the policy's choice; it is kept as the hostfile `hosts` in
 * the job's directory, which all hosts must see at the same path, as they must the
 * worker, the data and the public key.
 *
 * mpirun runs here and holds the job's lock, as on one machine. A job that has ended
 * without a report may have left ranks on other hosts, which could still charge the
 * meter: its hosts are asked, and swept, before it is settled. One that does not answer
 * for LAUNCH_HOSTS_LOST_S is taken for dead. Ranks are asked to stop by a signal that
 * mpirun passes on.
 */
#ifndef PPT_SCHEDULER_LAUNCH_HOSTS_H
#define PPT_SCHEDULER_LAUNCH_HOSTS_H

#include "base/error.h"
#include "scheduler/conf.h"
#include "scheduler/launch_mpirun.h"
#include "scheduler/launcher.h"
#include "scheduler/places.h"
#include "scheduler/spool.h"

#define LAUNCH_HOSTS_LOST_S 300

/* No ownership of what it is given. */
struct launch_hosts {
    struct launch_mpirun *mpirun;
    const struct conf *conf; /* hosts and agent */

    /* The implementation's: zero-initialise. */
    struct silence {
        char directory[SPOOL_PATH_SIZE]; /* of a job whose hosts did not all answer */
        int64_t since_ms, asked_ms;
        int next; /* host; those before have answered */
    } silences[16];
};

/* The hosts' room, in the order of the configuration. */
struct places launch_hosts_places(const struct conf *conf);

/* `hosts` outlives the launcher. */
struct launcher launch_hosts(struct launch_hosts *hosts);

#endif

#include "scheduler/policy.h"

int policy_choose(const struct policy_job *jobs, int n, const struct nodes_room *whole,
                  struct nodes_room room, int64_t patience_s, bool *ret_starts)
{
    int n_starts = 0;
    bool is_blocked = false;
    for (int i = 0; i < n; i++) {
        ret_starts[i] = !is_blocked && nodes_fits(&room, &jobs[i].need);
        if (ret_starts[i]) {
            nodes_take(&room, &jobs[i].need);
            n_starts++;
        } else if (jobs[i].waited_s >= patience_s && nodes_fits(whole, &jobs[i].need)) {
            is_blocked = true;
        }
    }
    return n_starts;
}

#include "jobs/turn.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct turn {
    _Atomic int64_t *decided; /* in shared memory */
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would not be shared");

static int map(int fd, struct turn **ret_turn, struct error *err)
{
    struct turn *turn = malloc(sizeof *turn);
    if (turn == NULL)
        return error_set(err, PPT_ENOMEM, "no memory for a world's turn");
    void *memory =
        mmap(NULL, sizeof *turn->decided, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        free(turn);
        return error_errno(err, PPT_EIO, "cannot share memory with a world");
    }
    turn->decided = memory;
    *ret_turn = turn;
    return 0;
}

int turn_create(struct turn **ret_turn, int *ret_fd, struct error *err)
{
    int fd = memfd_create("ppt-turn", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, sizeof(int64_t)) != 0 ||
        fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        int rc = error_errno(err, PPT_EIO, "cannot make memory to share");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = map(fd, ret_turn, err);
    if (rc == 0)
        *ret_fd = fd;
    else
        close(fd);
    return rc;
}

int turn_open(int fd, struct turn **ret_turn, struct error *err)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) != 0 ||
        st.st_size != sizeof(int64_t))
        return error_set(err, PPT_ETRUST, "this is no memory that a world shares");
    return map(fd, ret_turn, err);
}

void turn_close(struct turn *turn)
{
    if (turn == NULL)
        return;
    munmap((void *)turn->decided, sizeof *turn->decided);
    free(turn);
}

bool turn_begin(struct turn *turn, int64_t number)
{
    int64_t before = number - 1;
    return atomic_compare_exchange_strong(turn->decided, &before, number);
}

int64_t turn_take_back(struct turn *turn, int64_t last)
{
    int64_t decided = atomic_load(turn->decided);
    while (decided < last &&
           !atomic_compare_exchange_weak(turn->decided, &decided, last))
        continue;
    return decided;
}

int64_t turn_now(const struct turn *turn)
{
    return atomic_load(turn->decided);
}

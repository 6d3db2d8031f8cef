#include "worker/stop.h"

#include <unistd.h>

volatile sig_atomic_t stop_requested;
volatile sig_atomic_t stop_overdue;

static void request(int signal_number)
{
    if (signal_number == SIGALRM)
        stop_overdue = 1;
    else
        stop_requested = 1;
}

static void watch(int signal_number)
{
    struct sigaction action = {.sa_handler = request,
                               .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, NULL);
}

void stop_watch(void)
{
    watch(SIGTERM);
    watch(SIGINT);
    watch(SIGUSR1);
}

void stop_on_child(void)
{
    watch(SIGCHLD);
}

void stop_within(unsigned seconds)
{
    watch(SIGALRM);
    alarm(seconds);
}

void stop_at_ease(void)
{
    alarm(0);
}

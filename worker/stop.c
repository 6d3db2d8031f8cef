#include "worker/stop.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

volatile sig_atomic_t stop_requested;

/* Set before the alarm, read by its handler only. */
static char last_words[ERROR_TEXT_SIZE + 32];
static size_t last_words_len;
static int last_status;

static void request(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void give_up(int signal_number)
{
    (void)signal_number;
    ssize_t n = write(STDERR_FILENO, last_words, last_words_len);
    (void)n;
    _exit(last_status);
}

void stop_watch(void)
{
    struct sigaction action = {.sa_handler = request, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

void stop_within(unsigned seconds, const struct error *err)
{
    struct sigaction action = {.sa_handler = give_up};
    sigemptyset(&action.sa_mask);
    snprintf(last_words, sizeof last_words, "ppt-worker: error: %s\n", err->text);
    last_words_len = strlen(last_words);
    last_status = err->code;
    sigaction(SIGALRM, &action, NULL);
    alarm(seconds);
}

void stop_at_ease(void)
{
    alarm(0);
}

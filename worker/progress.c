#include "worker/progress.h"

#include <time.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_duration(FILE *file, double seconds)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600)
        fprintf(file, "%lld h %02lld min", (long long)(s / 3600),
                (long long)(s / 60 % 60));
    else if (s >= 60)
        fprintf(file, "%lld min %02lld s", (long long)(s / 60), (long long)(s % 60));
    else
        fprintf(file, "%lld s", (long long)s);
}

static void print_line(const struct progress_line *line, const struct progress *p,
                       double now)
{
    FILE *file = line->file;
    fprintf(file, "step %lld/%lld", (long long)p->step, (long long)p->n_steps);
    if (p->epsilon > 0)
        fprintf(file, ", epsilon %.3f", p->epsilon);
    if (p->has_loss)
        fprintf(file, ", loss %.4f", p->loss);
    if (p->has_test_accuracy)
        fprintf(file, ", test accuracy %.2f %%", 100 * p->test_accuracy);
    fprintf(file, ", %.0f examples/s", p->expected_examples_per_s);
    int64_t done = p->step - line->first_step;
    if (done > 0 && p->step < p->n_steps) {
        fprintf(file, ", ");
        print_duration(file, (now - line->started_s) / (double)done *
                                 (double)(p->n_steps - p->step));
        fprintf(file, " left");
    }
}

/* A cell that is right-aligned; "-" where there is nothing to tell. */
static void print_number(FILE *file, int width, bool is_known, const char *format,
                         double value)
{
    char text[32] = "-";
    if (is_known)
        snprintf(text, sizeof text, format, value);
    fprintf(file, " %*s", width, text);
}

static void print_row(const struct progress_line *line, const struct progress *p,
                      double now)
{
    FILE *file = line->file;
    int64_t done = p->step - line->first_step;
    char round[48];
    snprintf(round, sizeof round, "%lld/%lld", (long long)p->step,
             (long long)p->n_steps);
    fprintf(file, "%15s", round);
    print_number(file, 8, p->has_test_accuracy, "%.2f %%", 100 * p->test_accuracy);
    print_number(file, 8, p->has_loss, "%.4f", p->loss);
    print_number(file, 8, p->epsilon > 0, "%.3f", p->epsilon);
    print_number(file, 8, p->has_cohort, "%.0f", (double)p->n_clients);
    print_number(file, 8, p->has_cohort, "%.0f", (double)p->n_dropped);
    print_number(file, 8, p->has_cohort, "%.0f", (double)p->n_late);
    print_number(file, 10, p->has_cohort, "%.3g MB", 1e-6 * (double)p->n_bytes);
    if (done > 0 && p->step < p->n_steps) {
        fprintf(file, "  ");
        print_duration(file, (now - line->started_s) / (double)done *
                                 (double)(p->n_steps - p->step));
        fprintf(file, " left");
    }
    fputc('\n', file);
}

/* Rows of a table stay; its head comes before the first. */
static void show_round(struct progress_line *line, const struct progress *progress,
                       double now)
{
    const char *start = line->is_terminal ? "" : "ppt-worker: ";
    if (!line->has_head)
        fprintf(line->file, "%s%15s %8s %8s %8s %8s %8s %8s %10s\n", start, "round",
                "accuracy", "loss", "epsilon", "clients", "dropped", "late", "sent");
    line->has_head = true;
    fputs(start, line->file);
    print_row(line, progress, now);
    fflush(line->file);
}

void progress_show(void *state, const struct progress *progress)
{
    struct progress_line *line = state;
    double now = now_s();
    bool is_last = progress->step >= progress->n_steps;
    if (!line->has_started) {
        line->has_started = true;
        line->started_s = now;
        line->first_step = progress->step;
    } else if (now - line->shown_s < 1 && !is_last && !progress->has_test_accuracy) {
        return;
    }
    line->shown_s = now;
    if (progress->is_round) {
        show_round(line, progress, now);
        return;
    }
    fputs(line->is_terminal ? "\r\033[K" : "ppt-worker: ", line->file);
    print_line(line, progress, now);
    line->is_open = line->is_terminal;
    if (!line->is_terminal)
        fputc('\n', line->file);
    fflush(line->file);
}

void progress_end(struct progress_line *line)
{
    if (line->is_open)
        fputc('\n', line->file);
    line->is_open = false;
}

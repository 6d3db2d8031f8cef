#include "tests/unit/worker/scratch.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

void scratch_setup(void)
{
    strcpy(directory, "/tmp/check_worker.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

void scratch_teardown(void)
{
    DIR *dir = opendir(directory);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            unlink(scratch_path(entry->d_name));
    closedir(dir);
    rmdir(directory);
}

const char *scratch_path(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

const char *scratch_write(const char *name, const void *data, size_t len)
{
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, len, file), len);
    fclose(file);
    return path;
}

int64_t scratch_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

void scratch_truncate(const char *path, int64_t len)
{
    ck_assert_int_eq(truncate(path, len), 0);
}

void scratch_flip(const char *path, int64_t at)
{
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(c ^ 1, file);
    fclose(file);
}

void scratch_expect(const struct error *err, const char *words)
{
    ck_assert_msg(strstr(err->text, words) != NULL, "expected \"%s\" in \"%s\" (%s)",
                  words, err->text, err->detail);
}

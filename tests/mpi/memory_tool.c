/* memory_tool PID NUMBER...: how often these numbers, as floats one after the other,
 * stand in the memory that process PID may write to. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NUMBERS 64

static long count_in(const char *bytes, size_t len, const void *wanted, size_t n)
{
    long found = 0;
    for (const char *at = bytes;
         (at = memmem(at, len - (size_t)(at - bytes), wanted, n)) != NULL; at++)
        found++;
    return found;
}

int main(int argc, char **argv)
{
    float wanted[MAX_NUMBERS];
    char path[64], line[512];
    long found = 0, n_regions = 0;
    int n = argc - 2;
    if (n < 1 || n > MAX_NUMBERS)
        return 2;
    for (int i = 0; i < n; i++)
        wanted[i] = strtof(argv[i + 2], NULL);
    snprintf(path, sizeof path, "/proc/%.20s/maps", argv[1]);
    FILE *maps = fopen(path, "re");
    snprintf(path, sizeof path, "/proc/%.20s/mem", argv[1]);
    FILE *memory = fopen(path, "re");
    if (maps == NULL || memory == NULL)
        return 3;
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char rights[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w')
            continue;
        char *bytes = malloc(to - from);
        if (bytes == NULL || fseek(memory, (long)from, SEEK_SET) != 0)
            return 4;
        size_t len = fread(bytes, 1, to - from, memory);
        found += count_in(bytes, len, wanted, (size_t)n * sizeof *wanted);
        n_regions += len > 0;
        free(bytes);
    }
    printf("%ld\n", found);
    fclose(maps);
    fclose(memory);
    return n_regions > 0 ? 0 : 3;
}

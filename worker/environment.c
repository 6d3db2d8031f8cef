#include "worker/environment.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/json.h"
#include "base/pathsafe.h"

#define MAX_ID_BYTES 32

/* ---- build ids (elf(5), notes) ---- */

static size_t align(size_t n, size_t alignment)
{
    return (n + alignment - 1) / alignment * alignment;
}

/* Looks for the note GNU, NT_GNU_BUILD_ID among notes[len]; false if it is not there.
 */
static bool find_id(const unsigned char *notes, size_t len, size_t alignment,
                    char ret_hex[2 * MAX_ID_BYTES + 1])
{
    ElfW(Nhdr) note;
    for (size_t at = 0; at + sizeof note <= len;) {
        memcpy(&note, notes + at, sizeof note);
        size_t name = at + sizeof note, id = name + align(note.n_namesz, alignment);
        size_t end = id + align(note.n_descsz, alignment);
        if (end > len)
            return false;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(notes + name, "GNU", 4) == 0 && note.n_descsz <= MAX_ID_BYTES) {
            for (size_t i = 0; i < note.n_descsz; i++)
                snprintf(ret_hex + 2 * i, 3, "%02x", notes[id + i]);
            return true;
        }
        at = end;
    }
    return false;
}

static void id_of(const struct dl_phdr_info *object, char ret_hex[2 * MAX_ID_BYTES + 1])
{
    ret_hex[0] = '\0';
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_NOTE)
            continue;
        /* The loader has mapped it there; the address is an integer in ELF's tables. */
        const void *notes =
            (const void *)(object->dlpi_addr + header->p_vaddr); // NOLINT
        if (find_id(notes, header->p_memsz, header->p_align == 8 ? 8 : 4, ret_hex))
            return;
    }
}

/* The program itself comes first, without a name. */
static int add_object(struct dl_phdr_info *object, size_t size, void *state)
{
    struct json *json = state;
    char id[2 * MAX_ID_BYTES + 1];
    const char *slash = strrchr(object->dlpi_name, '/');
    (void)size;
    id_of(object, id);
    json_object(json, NULL);
    json_string(json, "name", slash != NULL ? slash + 1 : object->dlpi_name);
    json_string(json, "build_id", id);
    json_close_object(json);
    return 0;
}

/* ---- the machine ---- */

/* The value of the first line "key : value" of a file in /proc; "" if there is none. */
static void read_proc(const char *path, const char *key, char *ret_text, size_t size)
{
    char line[512];
    FILE *file = fopen(path, "r");
    ret_text[0] = '\0';
    if (file == NULL)
        return;
    while (ret_text[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (colon == NULL || strncmp(line, key, strlen(key)) != 0)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(ret_text, size, "%s", colon);
    }
    fclose(file);
}

static void add_machine(struct json *json)
{
    struct utsname kernel;
    char cpu[128], memory[64], text[512];
    if (uname(&kernel) == 0) {
        snprintf(text, sizeof text, "%s %s %s", kernel.sysname, kernel.release,
                 kernel.version);
        json_string(json, "kernel", text);
        json_string(json, "machine", kernel.machine);
    }
    read_proc("/proc/cpuinfo", "model name", cpu, sizeof cpu);
    read_proc("/proc/meminfo", "MemTotal", memory, sizeof memory);
    json_string(json, "cpu", cpu);
    json_integer(json, "n_cpus", sysconf(_SC_NPROCESSORS_ONLN));
    json_string(json, "memory", memory);
}

/* What NVIDIA's driver says of itself and of each GPU; nothing where there is none. */
static void add_gpus(struct json *json)
{
    static const char gpus[] = "/proc/driver/nvidia/gpus";
    char text[256], path[512];
    read_proc("/proc/driver/nvidia/version", "NVRM version", text, sizeof text);
    json_string(json, "gpu_driver", text);
    json_array(json, "gpus");
    DIR *directory = opendir(gpus);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        snprintf(path, sizeof path, "%s/%s/information", gpus, entry->d_name);
        read_proc(path, "Model", text, sizeof text);
        if (text[0] != '\0')
            json_string(json, NULL, text);
    }
    if (directory != NULL)
        closedir(directory);
    json_close_array(json);
}

/* The same for all jobs of a process. Caller frees. */
static int describe(const char *products, char **ret_text, struct error *err)
{
    struct json json = {0};
    json_object(&json, NULL);
    json_string(&json, "version", PPT_VERSION);
    add_machine(&json);
    json_string(&json, "products", products);
    add_gpus(&json);
    json_array(&json, "objects");
    dl_iterate_phdr(add_object, &json);
    json_close_array(&json);
    json_close_object(&json);
    return json_end(&json, ret_text, err);
}

/* One more name for the file that this process wrote first; false where that cannot be:
 * it is gone, on another file system, or has all the names that a file can have. */
static bool link_first(int first, const char *path)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", first);
    return first >= 0 && linkat(AT_FDCWD, name, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
}

int environment_write(const char *path, const char *products, struct error *err)
{
    /* Objects are never unloaded; one thread. */
    static char *text;
    static int first = -1;
    if (link_first(first, path))
        return 0;
    int rc = text != NULL ? 0 : describe(products, &text, err);
    if (rc == 0)
        rc = pathsafe_replace_soon(path, text, strlen(text), 0400, err);
    if (rc != 0)
        return rc;
    if (first >= 0)
        close(first);
    first = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return 0;
}

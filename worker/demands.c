#include "worker/demands.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fscrypt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ECRYPTFS_MAGIC 0xf15f
#define MAX_DEPTH 8 /* of devices upon devices; what is deeper is not believed */

/* ---- disks ---- */

/* The kinds of cryptsetup's devices that encrypt: the uuid is "CRYPT-KIND-...". */
static bool is_crypt_uuid(const char *uuid)
{
    static const char *const kinds[] = {"CRYPT-LUKS1-", "CRYPT-LUKS2-",
                                        "CRYPT-PLAIN-", "CRYPT-TCRYPT-",
                                        "CRYPT-BITLK-", "CRYPT-FVAULT2-"};
    if (strstr(uuid, "OPAL") != NULL)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(uuid, kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

static void read_line(const char *directory, const char *name, char *ret_text, int size)
{
    char path[512];
    int len = snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = len < 0 || len >= (int)sizeof path ? NULL : fopen(path, "r");
    ret_text[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(ret_text, size, file) == NULL)
        ret_text[0] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
    fclose(file);
}

/* A directory of sysfs that stands for a block device. */
static bool is_encrypted(const char *device, int depth)
{
    char uuid[256], path[512];
    read_line(device, "dm/uuid", uuid, sizeof uuid);
    if (is_crypt_uuid(uuid))
        return true;
    int len = snprintf(path, sizeof path, "%s/slaves", device);
    DIR *slaves =
        len < 0 || len >= (int)sizeof path || depth == MAX_DEPTH ? NULL : opendir(path);
    if (slaves == NULL)
        return false;
    int n = 0;
    bool are_all = true;
    for (struct dirent *entry; are_all && (entry = readdir(slaves)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        n++;
        len = snprintf(path, sizeof path, "%s/slaves/%s", device, entry->d_name);
        are_all = len > 0 && len < (int)sizeof path && is_encrypted(path, depth + 1);
    }
    closedir(slaves);
    return n > 0 && are_all;
}

bool demands_device(const char *root, unsigned major_number, unsigned minor_number)
{
    char device[256], above[300], partition[16];
    int len = snprintf(device, sizeof device, "%s/dev/block/%u:%u", root, major_number,
                       minor_number);
    if (len < 0 || len >= (int)sizeof device)
        return false;
    /* A partition has no parts of its own: they are its disk's. */
    read_line(device, "partition", partition, sizeof partition);
    snprintf(above, sizeof above, "%s/..", device);
    return is_encrypted(partition[0] != '\0' ? above : device, 0);
}

/* Errors are a no: file systems that do not know fscrypt, and files without a policy.
 */
static bool has_fscrypt(int fd)
{
    struct fscrypt_get_policy_ex_arg arg = {.policy_size = sizeof arg.policy};
    return ioctl(fd, FS_IOC_GET_ENCRYPTION_POLICY_EX, &arg) == 0;
}

int demands_disk(const char *directory, struct error *err)
{
    struct stat st;
    struct statfs fs;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0) {
        int rc = error_errno(err, PPT_EIO, "cannot look at %s", directory);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    bool is_fine = has_fscrypt(fd) || fs.f_type == ECRYPTFS_MAGIC ||
                   (major(st.st_dev) != 0 &&
                    demands_device("/sys", major(st.st_dev), minor(st.st_dev)));
    close(fd);
    if (is_fine)
        return 0;
    error_set(err, PPT_EPOLICY,
              "the site demands an encrypted file system, and %s is on none that can "
              "be told (device %u:%u, file system type 0x%lx)",
              directory, major(st.st_dev), minor(st.st_dev), (unsigned long)fs.f_type);
    return error_hint(err, "put the spool on dm-crypt (cryptsetup) or set an fscrypt "
                           "policy on it, or take require.encrypted_disk out of the "
                           "site file");
}

/* ---- GPUs ---- */

/* As in nvml.h, which is not needed to build: nvmlConfComputeSystemState_t. */
struct nvml_state {
    unsigned environment; /* 0 none, 1 simulated, 2 production */
    unsigned feature;     /* 1: confidential computing is on */
    unsigned dev_tools;   /* 1: debuggers and profilers may look in */
};

static const char *why_not(void)
{
    struct nvml_state state = {0};
    void *nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (nvml == NULL)
        return "there is no NVIDIA driver here (libnvidia-ml.so.1)";
    /* POSIX lets dlsym's pointers be functions; ISO C needs the detour. */
    int (*init)(void) = NULL;
    int (*shut_down)(void) = NULL;
    int (*get_state)(struct nvml_state *) = NULL;
    *(void **)&init = dlsym(nvml, "nvmlInit_v2");
    *(void **)&shut_down = dlsym(nvml, "nvmlShutdown");
    *(void **)&get_state = dlsym(nvml, "nvmlSystemGetConfComputeState");
    const char *why = NULL;
    if (init == NULL || shut_down == NULL || get_state == NULL)
        why = "the driver is too old to tell";
    else if (init() != 0)
        why = "the driver does not answer";
    else if (get_state(&state) != 0)
        why = "the driver cannot tell";
    else if (state.feature != 1)
        why = "it is off";
    else if (state.environment != 2)
        why = "it is only simulated";
    else if (state.dev_tools != 0)
        why = "developer tools are let in";
    if (init != NULL && shut_down != NULL)
        shut_down();
    dlclose(nvml);
    return why;
}

int demands_gpu(struct error *err)
{
    const char *why = why_not();
    if (why == NULL)
        return 0;
    error_set(err, PPT_EPOLICY,
              "the site demands GPUs in confidential mode, and this node's are not: %s",
              why);
    return error_hint(err, "ask an administrator for a node whose GPUs run in "
                           "confidential mode, or for require.confidential_gpu to go");
}

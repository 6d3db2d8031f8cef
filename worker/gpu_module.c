#include "worker/gpu_module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int gpu_module_path(const char *name, char ret_path[GPU_MODULE_PATH_SIZE],
                    struct error *err)
{
    char home[PATH_MAX], beside[GPU_MODULE_PATH_SIZE], built[GPU_MODULE_PATH_SIZE];
    ssize_t len = readlink("/proc/self/exe", home, sizeof home - 1);
    if (len <= 0)
        return error_errno(err, PPT_EIO, "cannot find this program's folder");
    home[len] = '\0';
    *strrchr(home, '/') = '\0';
    snprintf(beside, sizeof beside, "%s/%s", home, name);
    snprintf(built, sizeof built, "%s/../kernels/%s", home, name);
    bool is_built = access(beside, F_OK) != 0 && access(built, F_OK) == 0;
    memcpy(ret_path, is_built ? built : beside, sizeof beside);
    return 0;
}

int gpu_module_open(const char *path, const struct device_module **ret_module,
                    struct error *err)
{
    const struct device_module *module;
    if (access(path, F_OK) != 0) {
        error_set(err, PPT_ESTATE, "the job asks for a GPU and there is no %s", path);
        return error_hint(err,
                          "build ppt where cmake finds a CUDA toolkit and install "
                          "this file beside ppt-worker, or write gpus_per_rank: 0");
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        error_set(err, PPT_ESTATE,
                  "the job asks for a GPU and its kernels cannot be "
                  "loaded: %.300s",
                  why == NULL ? path : why);
        return error_hint(err, "are CUDA's libraries installed on this node?");
    }
    module = dlsym(handle, DEVICE_MODULE_SYMBOL);
    if (module != NULL && strcmp(module->version, PPT_VERSION) == 0 &&
        module->n_bytes == sizeof(struct kernels)) {
        *ret_module = module;
        return 0;
    }
    dlclose(handle);
    error_set(err, PPT_ESTATE, "%s is not of this ppt-worker's build", path);
    return error_hint(err, "install both from one build");
}

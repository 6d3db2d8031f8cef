#include "scheduler/slurm_wishes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* "END,TIME_LIMIT_90" */
static void write_mail_types(int types, char ret_text[SLURM_WISH_SIZE])
{
    const char *name;
    size_t n = (size_t)sprintf(ret_text, "--mail-type=");
    for (int bit = 0; (name = spec_mail_name(bit)) != NULL; bit++) {
        if (!(types & 1 << bit))
            continue;
        if (ret_text[n - 1] != '=')
            ret_text[n++] = ',';
        for (; *name != '\0' && n < SLURM_WISH_SIZE - 2; name++)
            ret_text[n++] = (char)toupper((unsigned char)*name);
    }
    ret_text[n] = '\0';
}

int slurm_wishes(const struct spec_slurm *slurm,
                 char ret_wishes[SLURM_MAX_WISHES][SLURM_WISH_SIZE])
{
    int n = 0;
    if (slurm == NULL)
        return 0;
    const struct {
        const char *option, *value;
    } words[] = {{"partition", slurm->partition},
                 {"qos", slurm->qos},
                 {"account", slurm->account},
                 {"reservation", slurm->reservation},
                 {"mail-user", slurm->mail_user}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].value[0] != '\0')
            snprintf(ret_wishes[n++], SLURM_WISH_SIZE, "--%s=%s", words[i].option,
                     words[i].value);
    if (slurm->n_nodes > 0)
        snprintf(ret_wishes[n++], SLURM_WISH_SIZE, "--nodes=%lld",
                 (long long)slurm->n_nodes);
    if (slurm->mail_types != 0)
        write_mail_types(slurm->mail_types, ret_wishes[n++]);
    for (int i = 0; i < slurm->n_options; i++)
        snprintf(ret_wishes[n++], SLURM_WISH_SIZE, "%s", slurm->options[i]);
    return n;
}

#include "jobs/fl/post.h"

#include "jobs/dp/verdict.h"

void post_write(struct buf *mail, uint32_t client, const void *text, size_t len)
{
    buf_u32(mail, client);
    buf_u64(mail, len);
    buf_bytes(mail, text, len);
}

bool post_read(struct buf_reader *mail, uint32_t *ret_client,
               const unsigned char **ret_text, size_t *ret_len)
{
    if (mail->left == 0) {
        return false;
    }
    *ret_client = buf_read_u32(mail);
    *ret_len = (size_t)buf_read_u64(mail);
    *ret_text = buf_read_bytes(mail, *ret_len);
    return !mail->is_short;
}

int post_send(struct comm *comm, int from, struct buf *mail, struct error *err)
{
    if (comm->size == 1) {
        return buf_check(mail, err);
    }
    int64_t len = buf_check(mail, NULL) == 0 ? (int64_t)mail->len : -1;
    int rc = comm->ops->broadcast(comm, &len, sizeof len, from, err);
    if (rc != 0) {
        return rc;
    }
    if (comm->rank != from && len >= 0) {
        buf_clear(mail);
        (void)buf_space(mail, (size_t)len);
    }
    /* A rank that has no room must not leave the others waiting for it. */
    rc = len < 0 ? error_set(err, PPT_ENOMEM, "no memory for a mail of the clients")
                 : buf_check(mail, err);
    rc = verdict_join(comm, rc, err);
    if (rc == 0 && len > 0) {
        rc = comm->ops->broadcast(comm, mail->data, (size_t)len, from, err);
    }
    return rc;
}

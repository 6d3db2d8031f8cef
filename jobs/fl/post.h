/* Bytes between the ranks that play clients and rank 0, which plays the server: letters
 * of a number and a text, many in a mail. Private to this room.
 *
 * A mail goes by comm's broadcast, so it is sealed where the ranks' channels are.
 */
#ifndef PPT_JOBS_FL_POST_H
#define PPT_JOBS_FL_POST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "jobs/comm.h"

/* Adds a letter to a mail. */
void post_write(struct buf *mail, uint32_t client, const void *text, size_t len);

/* The next letter; false at the end. The text lies in the mail. */
bool post_read(struct buf_reader *mail, uint32_t *ret_client,
               const unsigned char **ret_text, size_t *ret_len);

/* The mail of rank `from`, to all: on the other ranks it takes the place of what `mail`
 * held. Every rank calls it. Errors: PPT_ENOMEM, PPT_ECOMM. */
int post_send(struct comm *comm, int from, struct buf *mail, struct error *err);

#endif

/* Finds the descriptors in the control bytes of a received message (cmsg(3)). */
#ifndef HTRACE_MODEL_CONTROL_MESSAGE_H
#define HTRACE_MODEL_CONTROL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Calls `each` for every descriptor in `bytes`, in order; `pidfd`: SCM_PIDFD, else SCM_RIGHTS.
 * Several messages may follow each other, each aligned. Returns false where the bytes make no sense
 * any more: what was found before was told.
 */
bool control_message_each(const uint8_t *bytes, size_t size,
			  void (*each)(void *context, int32_t number, bool pidfd), void *context);

#endif

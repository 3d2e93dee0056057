/*
 * err.h - the error codes that functions return: 0 is success, errors are negative.
 *
 * Threads: any.
 */
#ifndef RC_BASE_ERR_H
#define RC_BASE_ERR_H

/* X(name, value, text) */
#define RC_ERR_MAP(X)                                 \
    X(RC_EAGAIN, -1, "more input is needed")          \
    X(RC_EPROTO, -2, "the peer broke the protocol")   \
    X(RC_ELIMIT, -3, "a limit was exceeded")          \
    X(RC_ENOMEM, -4, "out of memory")                 \
    X(RC_EINVAL, -5, "invalid argument")              \
    X(RC_ENOENT, -6, "not found")                     \
    X(RC_EFULL, -7, "the queue is full")              \
    X(RC_ESYS, -8, "a system call failed, see errno") \
    X(RC_ECLOSED, -9, "closed")

enum rc_err {
    RC_OK = 0,
#define RC_ERR_ENUM(name, value, text) name = value,
    RC_ERR_MAP(RC_ERR_ENUM)
#undef RC_ERR_ENUM
};

/* Never NULL; "unknown error" for a value that is not in the map. */
const char *rc_strerror(int err);

#define RC_MUSTCHECK        __attribute__((warn_unused_result))
#define RC_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define RC_NORETURN         __attribute__((noreturn))

#endif /* RC_BASE_ERR_H */

/* tls.c - one connection's TLS: handshake, records in and out, the end. Never blocks, never asks twice. */
#include "rc/net/tls.h"

#include "rc/base/mem.h"

#include "tls_int.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    RECORD_MAX = 16384, /* plain bytes of a record */
    /* Bytes received in one event: with what is left of a record of the last one they make less than
     * RC_TLS_READ_MIN, so that OpenSSL never holds back what epoll does not know of. */
    READ_BUDGET = 32768,
    HANDSHAKE_BUDGET = 65536,
};

/* ---- the socket, for OpenSSL ---- */

static int bio_read(BIO *bio, char *to, int len)
{
    struct rc_tls *t = BIO_get_data(bio);
    size_t want = (uint32_t)len < t->budget ? (size_t)len : t->budget;
    ssize_t n;

    BIO_clear_retry_flags(bio);
    if (want == 0 || to == NULL) {
        BIO_set_retry_read(bio); /* enough for now, or there was no more the last time */
        return -1;
    }
    do
        n = recv(t->fd, to, want, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        t->budget = 0;
        BIO_set_retry_read(bio);
    } else if (n < 0) {
        t->reset = true;
    } else if (n == 0) {
        t->eof = true;
    } else {
        t->budget = (size_t)n < want ? 0 : t->budget - (uint32_t)n;
        rc_net_bytes.received += (size_t)n;
    }
    return (int)n;
}

static int bio_write(BIO *bio, const char *from, int len)
{
    const struct rc_tls *t = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    do
        n = send(t->fd, from, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    rc_net_bytes.sent += n > 0 ? (size_t)n : 0;
    return (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    const struct rc_tls *t = BIO_get_data(bio);

    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_EOF)
        return t->eof;
    return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *rc_tls_bio_method(void)
{
    static BIO_METHOD *method; /* main makes it, with the first set */

    if (method != NULL)
        return method;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "roomcast");
    if (method == NULL || BIO_meth_set_read(method, bio_read) != 1 ||
        BIO_meth_set_write(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1)
        return NULL;
    return method;
}

/* ---- life ---- */

struct rc_tls *rc_tls_new(struct rc_tls_set *set)
{
    struct rc_tls *t = rc_calloc(1, sizeof(*t));
    BIO *bio = BIO_new(rc_tls_bio_method());

    t->ssl = SSL_new(rc_tls_set_ctx(set, 0));
    if (t->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        rc_tls_free(t);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    (void)SSL_set_app_data(t->ssl, t);
    SSL_set_accept_state(t->ssl);
    t->set = rc_tls_set_ref(set);
    t->handshaking = true;
    t->fd = -1;
    return t;
}

void rc_tls_free(struct rc_tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    free(t->kept);
    rc_tls_set_unref(t->set);
    free(t);
}

void rc_tls_attach(struct rc_tls *t, struct rc_tls_side *side, int fd)
{
    t->side = side;
    t->fd = fd;
}

void rc_tls_keep(struct rc_tls *t, const void *bytes, size_t len)
{
    t->kept = rc_malloc(len);
    t->kept_len = (uint32_t)len;
    memcpy(t->kept, bytes, len);
}

uint8_t *rc_tls_take_kept(struct rc_tls *t, size_t *len)
{
    uint8_t *kept = t->kept;

    *len = t->kept_len;
    t->kept = NULL;
    return kept;
}

/* ---- what OpenSSL says ---- */

/* Of a call that returned rc <= 0. */
static int failed(struct rc_tls *t, int rc, bool writing)
{
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ: t->write_blocked = writing; return RC_EAGAIN;
    case SSL_ERROR_WANT_WRITE: t->read_blocked = !writing; return RC_EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return RC_ECLOSED;
    default: break;
    }
    if (t->eof && !writing)
        return RC_ECLOSED; /* without close_notify: what came is framed by HTTP and WebSocket */
    t->dead = true;
    return t->reset || ERR_peek_error() == 0 ? RC_ESYS : RC_EPROTO;
}

/* Which close reason the first error of a handshake is. */
static enum rc_close why_failed(unsigned long err)
{
    int reason = ERR_GET_REASON(err);

    if (ERR_GET_LIB(err) != ERR_LIB_SSL)
        return RC_CLOSE_TLS_PROTOCOL;
    if (reason >= SSL_AD_REASON_OFFSET) /* an alert of the client's */
        return RC_CLOSE_TLS_REFUSED;
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return RC_CLOSE_TLS_PLAIN;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_VERSION_TOO_LOW: return RC_CLOSE_TLS_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS: return RC_CLOSE_TLS_CIPHER;
    case SSL_R_NO_APPLICATION_PROTOCOL: return RC_CLOSE_TLS_ALPN;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return RC_CLOSE_TLS_CLIENT;
    default: return RC_CLOSE_TLS_PROTOCOL;
    }
}

/* ---- the handshake ---- */

static void explain(struct rc_tls *t, int rc, char text[RC_TLS_WHY])
{
    unsigned long err = ERR_peek_error();
    const char *reason = ERR_reason_error_string(err);
    long verdict = SSL_get_verify_result(t->ssl);

    if (rc == RC_ECLOSED) {
        t->why = RC_CLOSE_PEER;
        (void)snprintf(text, RC_TLS_WHY, "the client ended the connection");
    } else if (rc == RC_ESYS) {
        t->why = RC_CLOSE_RESET;
        (void)snprintf(text, RC_TLS_WHY, "the connection was reset");
    } else {
        t->why = (uint8_t)why_failed(err);
        (void)snprintf(text, RC_TLS_WHY, "%s%s%s", reason != NULL ? reason : "unknown error",
                       ERR_GET_REASON(err) == SSL_R_CERTIFICATE_VERIFY_FAILED ? ": " : "",
                       ERR_GET_REASON(err) == SSL_R_CERTIFICATE_VERIFY_FAILED
                           ? X509_verify_cert_error_string(verdict)
                           : "");
    }
    t->dead = true;
}

int rc_tls_handshake(struct rc_tls *t, char text[RC_TLS_WHY])
{
    int rc;

    ERR_clear_error();
    t->budget = HANDSHAKE_BUDGET;
    t->read_blocked = t->write_blocked = false;
    rc = SSL_do_handshake(t->ssl);
    rc = rc == 1 ? RC_OK : failed(t, rc, false);
    if (rc == RC_EAGAIN)
        return rc;
    if (rc != RC_OK)
        explain(t, rc, text);
    t->handshaking = false;
    rc_tls_set_unref(t->set);
    t->set = NULL;
    ERR_clear_error();
    return rc == RC_OK ? RC_OK : RC_EPROTO;
}

bool rc_tls_resumed(const struct rc_tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}

const char *rc_tls_text(const struct rc_tls *t, char buf[RC_TLS_TEXT])
{
    (void)snprintf(buf, RC_TLS_TEXT, "%s %s", SSL_get_version(t->ssl),
                   SSL_get_cipher_name(t->ssl));
    return buf;
}

/* ---- records ---- */

int rc_tls_read(struct rc_tls *t, uint8_t *to, size_t len, size_t *got)
{
    int rc = RC_EAGAIN, n;

    *got = 0;
    t->read_blocked = false;
    if (t->dead)
        return RC_EPROTO;
    t->budget = READ_BUDGET;
    ERR_clear_error();
    while (*got < len) {
        n = SSL_read(t->ssl, to + *got, (int)(len - *got));
        if (n <= 0) {
            rc = failed(t, n, false);
            break;
        }
        *got += (size_t)n;
    }
    if (rc != RC_EAGAIN)
        ERR_clear_error();
    return rc;
}

/* The next bytes of the queue for one record: from where they are, if that fills it. */
static const uint8_t *next_record(struct rc_tls *t, const struct rc_outq *q, uint32_t *len)
{
    uint32_t want = t->retry != 0 ? t->retry : q->bytes < RECORD_MAX ? q->bytes : RECORD_MAX;

    *len = want;
    if (q->first->len - q->off >= want)
        return q->first->data + q->off;
    if (t->side->record == NULL)
        t->side->record = rc_malloc(RECORD_MAX);
    rc_outq_copy(q, t->side->record, want);
    return t->side->record;
}

int rc_tls_flush(struct rc_tls *t, struct rc_outq *q, size_t most, size_t *wrote)
{
    int rc = RC_OK, n;
    size_t total = 0;

    if (wrote != NULL)
        *wrote = 0;
    if (t->dead)
        return rc_outq_empty(q) ? RC_OK : RC_EPROTO;
    if (t->handshaking)
        return rc_outq_empty(q) ? RC_OK : RC_EAGAIN;
    t->write_blocked = false;
    t->budget = READ_BUDGET;
    ERR_clear_error();
    while (rc == RC_OK && !rc_outq_empty(q) && total < most) {
        uint32_t len;
        const uint8_t *data = next_record(t, q, &len);

        n = SSL_write(t->ssl, data, (int)len);
        if (n > 0) {
            t->retry = 0;
            total += (size_t)n;
            rc_outq_advance(q, (size_t)n);
        } else {
            t->retry = len; /* the record is made: OpenSSL must be given the same bytes again */
            rc = failed(t, n, true);
        }
    }
    if (wrote != NULL)
        *wrote = total;
    if (rc != RC_OK && rc != RC_EAGAIN)
        ERR_clear_error();
    if (rc == RC_OK && !rc_outq_empty(q))
        return RC_EAGAIN;
    return rc == RC_ECLOSED ? RC_ESYS : rc;
}

int rc_tls_bye(struct rc_tls *t)
{
    int rc;

    if (t->dead || t->handshaking || t->bye || t->retry != 0)
        return RC_OK;
    ERR_clear_error();
    rc = SSL_shutdown(t->ssl);
    if (rc < 0 && SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_WRITE)
        return RC_EAGAIN;
    ERR_clear_error();
    t->bye = true;
    return RC_OK;
}

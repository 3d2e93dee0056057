/*
 * tls.c - TLS of the client's side. Whose certificate it is does not matter: the run is about bytes and time.
 *
 * load_tls_read() and load_tls_write() are recv() and send() to their callers, also in what they say by
 * errno. Buffers are there only while a record is incomplete, so that many idle connections fit.
 */
#include "load.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static SSL_CTX *new_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL) {
        fputs("load: TLS cannot be had\n", stderr);
        exit(1);
    }
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)signal(SIGPIPE, SIG_IGN); /* the library writes without MSG_NOSIGNAL */
    return ctx;
}

/* What a call that has not done it all leaves in errno. */
static ssize_t failed(SSL *ssl, int rc)
{
    int why = SSL_get_error(ssl, rc);

    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (why != SSL_ERROR_SYSCALL || errno == EAGAIN || errno == 0)
        errno = EPROTO;
    return -1;
}

bool load_tls_handshake(struct load *l, struct load_conn *c)
{
    int rc;

    if (l->tls == NULL)
        l->tls = new_ctx();
    if (c->tls == NULL) {
        c->tls = SSL_new(l->tls);
        if (c->tls == NULL || SSL_set_fd(c->tls, c->fd) != 1) {
            load_conn_fail(l, c, "TLS");
            return false;
        }
    }
    ERR_clear_error();
    rc = SSL_connect(c->tls);
    if (rc == 1)
        return true;
    if (failed(c->tls, rc) == 0)
        errno = 0;
    if (errno != EAGAIN)
        load_conn_fail(l, c, "TLS handshake");
    return false;
}

ssize_t load_tls_read(struct load_conn *c, void *to, size_t len)
{
    size_t n;
    int rc;

    ERR_clear_error();
    rc = SSL_read_ex(c->tls, to, len, &n);
    return rc == 1 ? (ssize_t)n : failed(c->tls, rc);
}

/* All of it, or nothing as far as the caller sees: then it comes again with at least the same bytes. */
ssize_t load_tls_write(struct load_conn *c, const void *p, size_t len)
{
    size_t n;
    int rc;

    ERR_clear_error();
    rc = SSL_write_ex(c->tls, p, len, &n);
    return rc == 1 ? (ssize_t)n : failed(c->tls, rc);
}

void load_tls_end(struct load_conn *c)
{
    SSL_free(c->tls);
    c->tls = NULL;
}

void load_tls_deinit(struct load *l)
{
    SSL_CTX_free(l->tls);
    l->tls = NULL;
}

/* tls_set.c - certificates and keys of a listener, as contexts of OpenSSL. */
#include "rc/base/mem.h"

#include "tls_int.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    FILE_MAX = 1 << 20,
    SESSION_LIFE_S = RC_TLS_KEY_PERIOD_MS / 1000,
};

/* Forward secrecy and authenticated encryption only: what every client of the last ten years has. */
#define DEFAULT_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

struct pair {
    SSL_CTX *ctx;
    char **name; /* of the certificate */
    unsigned nnames;
};

struct rc_tls_set {
    _Atomic unsigned refs;
    struct pair *pair;
    unsigned npairs;
};

/* What is being loaded, for messages. */
struct loading {
    const struct rc_tls_conf *conf;
    rc_tls_say_fn *say;
    void *arg;
    bool encrypted; /* a passphrase was asked for */
};

static void fault(const struct loading *l, const char *key, const char *value, const char *why)
{
    l->say(l->arg, false, key, value, why);
}

/* What OpenSSL has said, or the other text if it has said nothing. */
static void fault_ssl(const struct loading *l, const char *key, const char *value,
                      const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    char why[RC_TLS_WHY];

    (void)snprintf(why, sizeof(why), "%s%s%s%s", what, reason != NULL ? " (OpenSSL: " : "",
                   reason != NULL ? reason : "", reason != NULL ? ")" : "");
    ERR_clear_error();
    fault(l, key, value, why);
}

/* ---- files ---- */

/* The file as a BIO on its text; NULL: that was told. */
static BIO *open_pem(const struct loading *l, const char *key, const char *file,
                     struct rc_buf *text)
{
    char why[RC_TLS_WHY], sys[128];
    int err = rc_conf_read_file(file, FILE_MAX, text);

    if (err == 0)
        return BIO_new_mem_buf(text->data, (int)text->len);
    (void)snprintf(why, sizeof(why), "%s%s", strerror_r(err, sys, sizeof(sys)),
                   err == EACCES   ? "; the user that roomcast runs as must be able to read it"
                   : err == ENOENT ? "; create it, or correct the path"
                                   : "");
    fault(l, key, file, why);
    return NULL;
}

static void close_pem(BIO *bio, struct rc_buf *text)
{
    BIO_free(bio);
    if (text->data != NULL)
        OPENSSL_cleanse(text->data, text->cap);
    rc_buf_deinit(text);
}

static void check_dates(const struct loading *l, const char *file, const X509 *cert)
{
    struct tm until = {0}, from = {0};
    char why[RC_TLS_WHY];

    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &until) != 1 ||
        ASN1_TIME_to_tm(X509_get0_notBefore(cert), &from) != 1)
        return;
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
        (void)strftime(
            why, sizeof(why),
            "it has expired on %Y-%m-%d %H:%M UTC: clients will refuse it. Renew it, "
            "and reload",
            &until);
        l->say(l->arg, true, "certificate", file, why);
    } else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
        (void)strftime(why, sizeof(why),
                       "it is not valid before %Y-%m-%d %H:%M UTC: clients will refuse it. Is "
                       "the clock right?",
                       &from);
        l->say(l->arg, true, "certificate", file, why);
    }
}

/* The certificate, and the ones behind it that lead to its root. */
static bool load_chain(struct loading *l, SSL_CTX *ctx, const char *file)
{
    struct rc_buf text = RC_BUF_INIT;
    BIO *bio = open_pem(l, "certificate", file, &text);
    X509 *cert = bio != NULL ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL, *ca;
    bool ok = cert != NULL && SSL_CTX_use_certificate(ctx, cert) == 1;

    if (cert == NULL && bio != NULL)
        fault(l, "certificate", file,
              "there is no certificate in it: expected PEM, -----BEGIN CERTIFICATE-----");
    else if (cert != NULL && !ok)
        fault_ssl(l, "certificate", file, "the certificate cannot be used");
    while (ok && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ctx, ca) == 1)
            continue;
        X509_free(ca);
        fault_ssl(l, "certificate", file, "a certificate of the chain cannot be used");
        ok = false;
    }
    if (ok && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        fault_ssl(l, "certificate", file, "what comes after the first certificate is broken");
        ok = false;
    }
    ERR_clear_error(); /* the end of the file is one */
    if (ok)
        check_dates(l, file, cert);
    X509_free(cert);
    close_pem(bio, &text);
    return ok;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of OpenSSL's callback */
static int ask_passphrase(char *buf, int size, int writing, void *arg)
{
    struct loading *l = arg;

    (void)buf;
    (void)size;
    (void)writing;
    l->encrypted = true;
    return -1;
}

static bool load_key(struct loading *l, SSL_CTX *ctx, const char *file, const char *certificate)
{
    struct rc_buf text = RC_BUF_INIT;
    char why[RC_TLS_WHY];
    BIO *bio = open_pem(l, "key", file, &text);
    EVP_PKEY *key = NULL;
    bool ok = false;

    l->encrypted = false;
    if (bio != NULL)
        key = PEM_read_bio_PrivateKey(bio, NULL, ask_passphrase, l);
    if (key != NULL) {
        ok = X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) == 1;
        (void)snprintf(why, sizeof(why),
                       "it is not the key of the certificate %s: is the order of the files the "
                       "same in both lists?",
                       certificate);
        if (!ok)
            fault(l, "key", file, why);
        else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
            fault_ssl(l, "key", file, "the key cannot be used");
    } else if (l->encrypted) {
        fault(l, "key", file,
              "it is encrypted, and there is nobody to ask for the passphrase: write it "
              "without one (openssl pkey -in FILE -out NEW) and let only roomcast read it");
    } else if (bio != NULL) {
        fault_ssl(l, "key", file,
                  "there is no private key in it: expected PEM, -----BEGIN PRIVATE KEY-----");
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    close_pem(bio, &text);
    return ok;
}

/* ---- names ---- */

static void add_name(struct pair *p, const ASN1_STRING *s)
{
    const char *text = (const char *)ASN1_STRING_get0_data(s);
    size_t len = (size_t)ASN1_STRING_length(s);

    if (len == 0 || memchr(text, '\0', len) != NULL)
        return;
    p->name = rc_realloc(p->name, (p->nnames + 1) * sizeof(*p->name));
    p->name[p->nnames++] = rc_strndup(text, len);
}

/* Those of the extension; the common name counts only where there are none, as with clients. */
static void read_names(struct pair *p)
{
    X509 *cert = SSL_CTX_get0_certificate(p->ctx);
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

        if (n->type == GEN_DNS)
            add_name(p, n->d.dNSName);
    }
    GENERAL_NAMES_free(names);
    at = p->nnames == 0 ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
    if (at >= 0)
        add_name(p, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    ERR_clear_error();
}

/* *.example.com is for every name with one label more. */
static bool fits(const char *pattern, const char *name)
{
    const char *dot = strchr(name, '.');

    return pattern[0] == '*' && pattern[1] == '.' && dot != NULL && dot != name &&
           strcasecmp(pattern + 1, dot) == 0;
}

unsigned rc_tls_set_find(const struct rc_tls_set *set, const char *name)
{
    for (unsigned i = 0; i < set->npairs; i++)
        for (unsigned k = 0; k < set->pair[i].nnames; k++)
            if (strcasecmp(set->pair[i].name[k], name) == 0)
                return i;
    for (unsigned i = 0; i < set->npairs; i++)
        for (unsigned k = 0; k < set->pair[i].nnames; k++)
            if (fits(set->pair[i].name[k], name))
                return i;
    return 0;
}

/* ---- contexts ---- */

/* NOLINTNEXTLINE(readability-non-const-parameter): the type of OpenSSL's callback */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct rc_tls *t = SSL_get_app_data(ssl);
    unsigned i;

    (void)alert;
    (void)arg;
    if (name == NULL || t->set == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    i = rc_tls_set_find(t->set, name);
    if (i != 0)
        (void)SSL_set_SSL_CTX(ssl, rc_tls_set_ctx(t->set, i));
    return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                   const unsigned char *in, unsigned len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, outlen, ours, sizeof(ours) - 1, in, len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* such as one that speaks h2 only */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* The names of TLS 1.3 begin with TLS_, and OpenSSL has them in a list of their own. */
static bool set_ciphers(const struct loading *l, SSL_CTX *ctx)
{
    const char *all = l->conf->ciphers;
    struct rc_buf list[2] = {RC_BUF_INIT, RC_BUF_INIT};
    bool ok = true;

    for (const char *p = all; *p != '\0';) {
        size_t n = strcspn(p, ":, ");
        struct rc_buf *to = &list[strncmp(p, "TLS_", 4) == 0];

        if (n != 0 && to->len != 0)
            rc_buf_putz(to, ":");
        rc_buf_puts(to, rc_str_make(p, n));
        p += n + strspn(p + n, ":, ");
    }
    rc_buf_put(&list[0], "", 1);
    rc_buf_put(&list[1], "", 1);
    ok = SSL_CTX_set_cipher_list(ctx, list[0].len > 1 ? (const char *)list[0].data
                                                      : DEFAULT_CIPHERS) == 1 &&
         (list[1].len == 1 || SSL_CTX_set_ciphersuites(ctx, (const char *)list[1].data) == 1);
    if (!ok)
        fault_ssl(l, "ciphers", all,
                  "expected names as `openssl ciphers` lists them, with colons between them");
    rc_buf_deinit(&list[0]);
    rc_buf_deinit(&list[1]);
    return ok;
}

/* Sessions are for listeners that trust the same clients only. */
static bool set_clients(const struct loading *l, SSL_CTX *ctx)
{
    const struct rc_tls_conf *conf = l->conf;
    unsigned char id[SHA256_DIGEST_LENGTH] = "roomcast";
    struct rc_buf text = RC_BUF_INIT;
    BIO *bio = NULL;
    X509 *ca;
    bool ok = true;
    int n = 0;

    if (conf->client_auth != RC_CLIENTAUTH_OFF) {
        bio = open_pem(l, "client_ca", conf->client_ca, &text);
        while (bio != NULL && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
            n += X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1 &&
                 SSL_CTX_add_client_CA(ctx, ca) == 1;
            X509_free(ca);
        }
        if (bio != NULL && n == 0)
            fault(l, "client_ca", conf->client_ca,
                  "there is no certificate in it: expected PEM, -----BEGIN CERTIFICATE-----");
        ERR_clear_error();
        rc_buf_put(&text, conf->client_auth == RC_CLIENTAUTH_REQUIRED ? "required" : "optional",
                   8);
        (void)SHA256(text.data, text.len, id);
        ok = n != 0;
        SSL_CTX_set_verify(ctx,
                           conf->client_auth == RC_CLIENTAUTH_REQUIRED
                               ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                               : SSL_VERIFY_PEER,
                           NULL);
        close_pem(bio, &text);
    }
    return SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) == 1 && ok;
}

static bool make_ctx(struct loading *l, struct pair *p, const char *certificate,
                     const char *key)
{
    SSL_CTX *ctx = p->ctx = SSL_CTX_new(TLS_server_method());

    RC_ASSERT(ctx != NULL);
    (void)SSL_CTX_set_min_proto_version(ctx, l->conf->min == RC_TLSMIN_13 ? TLS1_3_VERSION
                                                                          : TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_timeout(ctx, SESSION_LIFE_S);
    (void)SSL_CTX_set_num_tickets(ctx, 1);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, rc_tls_ticket_key);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    if (!set_ciphers(l, ctx) || !set_clients(l, ctx) || !load_chain(l, ctx, certificate) ||
        !load_key(l, ctx, key, certificate))
        return false;
    read_names(p);
    return true;
}

static bool counts_fit(const struct loading *l)
{
    const struct rc_conf_list *cert = l->conf->certificate, *key = l->conf->key;
    char why[RC_TLS_WHY];

    if (cert->n == 0) {
        fault(l, "certificate", "",
              "expected a PEM file: tls = yes needs a certificate and its key");
    } else if (cert->n != key->n) {
        (void)snprintf(why, sizeof(why),
                       "expected as many files as certificate has, in the same order: %u, not "
                       "%u",
                       cert->n, key->n);
        fault(l, "key", key->n != 0 ? key->item[0] : "", why);
    } else if (l->conf->client_auth != RC_CLIENTAUTH_OFF && l->conf->client_ca[0] == '\0') {
        fault(l, "client_ca", "",
              "expected the PEM file of who signs clients' certificates: client_auth needs it");
    } else {
        return true;
    }
    return false;
}

struct rc_tls_set *rc_tls_set_new(const struct rc_tls_conf *conf, rc_tls_say_fn *say, void *arg)
{
    struct loading l = {.conf = conf, .say = say, .arg = arg};
    struct rc_tls_set *set;
    bool ok = true;

    if (!counts_fit(&l))
        return NULL;
    RC_ASSERT(rc_tls_bio_method() != NULL && rc_tls_seed() == RC_OK);
    set = rc_calloc(1, sizeof(*set));
    atomic_init(&set->refs, 1);
    set->pair = rc_calloc(conf->certificate->n, sizeof(*set->pair));
    for (unsigned i = 0; i < conf->certificate->n; i++) {
        set->npairs++;
        ok = make_ctx(&l, &set->pair[i], conf->certificate->item[i], conf->key->item[i]) && ok;
    }
    if (ok)
        return set;
    rc_tls_set_unref(set);
    return NULL;
}

struct rc_tls_set *rc_tls_set_ref(struct rc_tls_set *set)
{
    /* relaxed: whoever takes a reference has one */
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void rc_tls_set_unref(struct rc_tls_set *set)
{
    /* release: our reads come before the free; acquire: so do all the others' */
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_release) != 1)
        return;
    (void)atomic_load_explicit(&set->refs, memory_order_acquire);
    for (unsigned i = 0; i < set->npairs; i++) {
        struct pair *p = &set->pair[i];

        SSL_CTX_free(p->ctx); /* counted: connections have it still */
        for (unsigned k = 0; k < p->nnames; k++)
            free(p->name[k]);
        free(p->name);
    }
    free(set->pair);
    free(set);
}

SSL_CTX *rc_tls_set_ctx(const struct rc_tls_set *set, unsigned i)
{
    return set->pair[i].ctx;
}

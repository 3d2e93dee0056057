/*
 * tls_files.h - certificates and keys that are made as a test needs them, in a folder of its own.
 *
 * Threads: one test.
 */
#ifndef RC_TESTS_TLS_FILES_H
#define RC_TESTS_TLS_FILES_H

#include "rc/net/tls.h"

#include <stdio.h>

/* What a load has said. */
struct tls_said {
    unsigned faults, warnings;
    char text[2048];
};

/* The folder. */
void tls_files_begin(void);
void tls_files_end(void);
/* FOLDER/NAMEENDING; of 16 such texts the oldest is overwritten. */
const char *tls_path(const char *name, const char *ending);
FILE *tls_create(const char *name, const char *ending);
/* NAME.pem and NAME.key. names: "DNS:a.test, DNS:*.b.test"; NULL: only the common name, cn.test. */
void tls_make_pair(const char *name, const char *names, long days, const char *passphrase);
/* certificates and keys: names of pairs by comma, whose files are in the folder. */
struct rc_tls_set *tls_load(struct rc_tls_conf conf, const char *certificates, const char *keys,
                            struct tls_said *said);
struct rc_tls_set *tls_good_set(void);

#endif /* RC_TESTS_TLS_FILES_H */

/*
 * Runs a fuzz target over the files of its corpus, without a fuzzer: make test does that with
 * any compiler. Each input is a copy of exactly its size, so that a sanitizer sees an overread.
 *
 * usage: fuzz_NAME FILE|DIRECTORY...
 */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    struct stat st;
    size_t size;

    if (f == NULL || fstat(fileno(f), &st) != 0)
        goto fail;
    size = (size_t)st.st_size;
    data = malloc(size != 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, f) != size)
        goto fail;
    fclose(f);
    printf("# %s\n", path);
    fflush(stdout); /* so that a crash shows its input */
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    replayed++;
    return 0;
fail:
    perror(path);
    if (f != NULL)
        fclose(f);
    free(data);
    return 1;
}

static int replay_dir(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int bad = 0;

    if (d == NULL) {
        perror(path);
        return 1;
    }
    while ((e = readdir(d)) != NULL) {
        char file[PATH_MAX];

        if (e->d_name[0] == '.')
            continue;
        if (snprintf(file, sizeof(file), "%s/%s", path, e->d_name) >= (int)sizeof(file)) {
            fprintf(stderr, "%s/%s: the path is too long\n", path, e->d_name);
            bad = 1;
        } else {
            bad |= replay_file(file);
        }
    }
    closedir(d);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            bad |= replay_dir(argv[i]);
        else
            bad |= replay_file(argv[i]);
    }
    (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("# %u inputs replayed\n", replayed);
    return bad || replayed == 0;
}

/*
 * list.h - intrusive doubly linked ring with a sentinel head.
 *
 * Threads:   one at a time.
 * Ownership: a link is part of the object that it links.
 */
#ifndef RC_BASE_LIST_H
#define RC_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct rc_list {
    struct rc_list *prev, *next;
};

#define RC_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void rc_list_init(struct rc_list *head)
{
    head->prev = head->next = head;
}

static inline bool rc_list_empty(const struct rc_list *head)
{
    return head->next == head;
}

static inline void rc_list_append(struct rc_list *head, struct rc_list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* A removed link has NULL pointers: that is how "not in a list" is told. */
static inline void rc_list_remove(struct rc_list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

static inline bool rc_list_linked(const struct rc_list *link)
{
    return link->next != NULL;
}

#endif /* RC_BASE_LIST_H */

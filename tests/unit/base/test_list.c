#include "rc/base/list.h"

#include <criterion/criterion.h>

struct item {
    int before;
    struct rc_list link;
    int id;
};

/* The ids in order as digits, walked both ways. */
static void check(struct rc_list *head, const char *ids)
{
    char forth[16] = "", back[16] = "";
    size_t n = 0, len = strlen(ids);

    for (struct rc_list *l = head->next; l != head; l = l->next)
        forth[n++] = (char)('0' + RC_CONTAINER(l, struct item, link)->id);
    cr_assert_str_eq(forth, ids);
    n = len;
    for (struct rc_list *l = head->prev; l != head; l = l->prev) {
        cr_assert_gt(n, 0u);
        back[--n] = (char)('0' + RC_CONTAINER(l, struct item, link)->id);
    }
    cr_assert_str_eq(back, ids);
    cr_assert_eq(rc_list_empty(head), len == 0);
}

Test(list, appends_and_removes)
{
    struct rc_list head;
    struct item i[4] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}};

    rc_list_init(&head);
    check(&head, "");
    for (int n = 0; n < 4; n++) {
        cr_assert_not(rc_list_linked(&i[n].link));
        rc_list_append(&head, &i[n].link);
        cr_assert(rc_list_linked(&i[n].link));
    }
    check(&head, "0123");
    rc_list_remove(&i[1].link); /* in the middle */
    check(&head, "023");
    cr_assert_not(rc_list_linked(&i[1].link));
    rc_list_remove(&i[0].link); /* the first */
    rc_list_remove(&i[3].link); /* the last */
    check(&head, "2");
    rc_list_append(&head, &i[0].link); /* again */
    check(&head, "20");
    rc_list_remove(&i[2].link);
    rc_list_remove(&i[0].link);
    check(&head, "");
}

Test(list, appends_before_any_link)
{
    struct rc_list head;
    struct item i[3] = {{.id = 0}, {.id = 1}, {.id = 2}};

    rc_list_init(&head);
    rc_list_append(&head, &i[0].link);
    rc_list_append(&head, &i[2].link);
    rc_list_append(&i[2].link, &i[1].link); /* any link can play the head */
    check(&head, "012");
}

Test(list, finds_the_container)
{
    struct item i = {.id = 7};

    cr_assert_eq(RC_CONTAINER(&i.link, struct item, link), &i);
}

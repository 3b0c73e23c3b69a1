/* A source of subordinate identities for nsswitch.conf, as a directory service brings one: `subid: test` lends 65536 from 300000 on to anna. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum status { SUCCESS, UNKNOWN_USER };
struct range { unsigned long start, count; };
static const struct range lent = { 300000, 65536 };

static bool is_known(const char *owner) { return !strcmp(owner, "anna") || !strcmp(owner, "1000"); }

enum status shadow_subid_has_range(const char *owner, unsigned long start, unsigned long count, int type, bool *result)
{
    (void)type;
    *result = is_known(owner) && start >= lent.start && start + count <= lent.start + lent.count;
    return SUCCESS;
}

enum status shadow_subid_list_owner_ranges(const char *owner, int type, struct range **ranges, int *count)
{
    (void)type;
    *count = 0;
    *ranges = NULL;
    if (!is_known(owner)) return UNKNOWN_USER;
    *ranges = malloc(sizeof lent);
    if (*ranges) **ranges = lent, *count = 1;
    return SUCCESS;
}

enum status shadow_subid_find_subid_owners(unsigned long id, int type, uid_t **uids, int *count)
{
    (void)id, (void)type;
    *uids = NULL;
    *count = 0;
    return SUCCESS;
}

void shadow_subid_free(void *memory) { free(memory); }

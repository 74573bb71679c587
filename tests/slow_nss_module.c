/* An NSS module for `tests.test_names`: it knows one name, in IPv4 alone, and needs 0.4 s to say so, as a directory
   server may. It needs as long to say that it does not know pinned.example; of other names it knows nothing at once. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <string.h>
#include <time.h>

static int is_known(const char *name)
{
    struct timespec delay = {0, 400 * 1000 * 1000};
    int is_known = strcmp(name, "nas.home.example") == 0;
    if (is_known || strcmp(name, "pinned.example") == 0)
        nanosleep(&delay, NULL);
    return is_known;
}

static enum nss_status not_found(int *error, int *h_error)
{
    *error = ENOENT;
    *h_error = HOST_NOT_FOUND;
    return NSS_STATUS_NOTFOUND;
}

enum nss_status _nss_hesiod_gethostbyname4_r(const char *name, struct gaih_addrtuple **found, char *buffer,
                                             size_t length, int *error, int *h_error, int32_t *ttl)
{
    struct gaih_addrtuple *tuple = (struct gaih_addrtuple *)buffer;
    if (!is_known(name))
        return not_found(error, h_error);
    memset(tuple, 0, sizeof *tuple);
    tuple->name = strcpy(buffer + sizeof *tuple, name);
    tuple->family = AF_INET;
    inet_pton(AF_INET, "198.51.100.2", tuple->addr);
    if (*found)
        **found = *tuple;
    else
        *found = tuple;
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_hesiod_gethostbyname3_r(const char *name, int family, struct hostent *host, char *buffer,
                                             size_t length, int *error, int *h_error, int32_t *ttl, char **canonical)
{
    char **addresses = (char **)buffer;
    if (family != AF_INET || !is_known(name))
        return not_found(error, h_error);
    addresses[0] = (char *)&addresses[3];
    addresses[1] = addresses[2] = NULL;
    inet_pton(AF_INET, "198.51.100.2", addresses[0]);
    host->h_name = strcpy(addresses[0] + 8, name);
    host->h_aliases = &addresses[1];
    host->h_addrtype = AF_INET;
    host->h_length = 4;
    host->h_addr_list = addresses;
    if (canonical)
        *canonical = host->h_name;
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_hesiod_gethostbyname2_r(const char *name, int family, struct hostent *host, char *buffer,
                                             size_t length, int *error, int *h_error)
{
    return _nss_hesiod_gethostbyname3_r(name, family, host, buffer, length, error, h_error, NULL, NULL);
}

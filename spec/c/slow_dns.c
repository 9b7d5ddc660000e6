/*
** slow_dns.c: for LD_PRELOAD: a resolver that needs half a minute for one name.
**   cc -shared -fPIC spec/c/slow_dns.c -o slow_dns.so -ldl
*/
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <time.h>

typedef int (*resolver)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **answer);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **answer) {
  const struct timespec slow = {30, 0};
  union { /* ISO C has no cast from an object's pointer to a function's */
    void *object;
    resolver function;
  } next;
  if (node != NULL && strcmp(node, "slow.example") == 0) {
    nanosleep(&slow, NULL);
    return EAI_NONAME;
  }
  next.object = dlsym(RTLD_NEXT, "getaddrinfo");
  return next.function(node, service, hints, answer);
}

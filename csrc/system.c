/*
** system.c: the files and child processes that the providers on this machine need, for
** Lua: core.fs and core.spawn. What the world does wrong is nil and words (with the
** path in them); nothing here waits but for the disk.
*/
#include "ft.h"

#include "jobdir.h"
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_META "finetune.child"

static int told(lua_State *L, const char *path, int e) {
  if (e == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", path, strerror(e));
  lua_pushinteger(L, e);
  return 3;
}

/* A path has no NUL in it: another file would be meant */
static const char *check_path(lua_State *L, int idx) {
  size_t n;
  const char *path = luaL_checklstring(L, idx, &n);
  luaL_argcheck(L, n > 0 && strlen(path) == n, idx, "a path without NUL expected");
  return path;
}

/* ---- core.fs ---- */

/* path, private (for nobody but its owner) -> true, or nil, words, errno */
static int fs_mkdir(lua_State *L) {
  const char *path = check_path(L, 1);
  return told(L, path, mkdir(path, lua_toboolean(L, 2) ? 0700 : 0777) == 0 ? 0 : errno);
}

static int fs_remove(lua_State *L) { /* a file, or an empty directory */
  const char *path = check_path(L, 1);
  return told(L, path, remove(path) == 0 ? 0 : errno);
}

static int fs_rename(lua_State *L) { /* from, to */
  const char *from = check_path(L, 1);
  return told(L, from, rename(from, check_path(L, 2)) == 0 ? 0 : errno);
}

static int fs_link(lua_State *L) { /* from, to: a hard link */
  const char *from = check_path(L, 1);
  return told(L, from, link(from, check_path(L, 2)) == 0 ? 0 : errno);
}

/* path -> {type = "file", "directory", "link" or "other", size, mtime (s)} */
static int fs_stat(lua_State *L) {
  struct stat st;
  const char *path = check_path(L, 1);
  if (lstat(path, &st) != 0)
    return told(L, path, errno);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, S_ISREG(st.st_mode)   ? "file"
                    : S_ISDIR(st.st_mode) ? "directory"
                    : S_ISLNK(st.st_mode) ? "link"
                                          : "other");
  lua_setfield(L, -2, "type");
  lua_pushinteger(L, (lua_Integer)st.st_size);
  lua_setfield(L, -2, "size");
  lua_pushinteger(L, (lua_Integer)st.st_mtime);
  lua_setfield(L, -2, "mtime");
  return 1;
}

static int close_file(lua_State *L) {
  luaL_Stream *file = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return luaL_fileresult(L, fclose(file->f) == 0, NULL);
}

/* path -> a file as io.open gives it, to read; nil, words, errno. It must be a regular one: whoever
   reads a FIFO that somebody has put in its place waits for ever. */
static int fs_open(lua_State *L) {
  struct stat st;
  const char *path = check_path(L, 1);
  luaL_Stream *file = lua_newuserdatauv(L, sizeof *file, 0);
  file->closef = NULL;
  file->f = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), e = errno;
  if (fd < 0)
    return told(L, path, e);
  if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
    e = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
  else if ((file->f = fdopen(fd, "rb")) == NULL)
    e = errno;
  if (file->f == NULL) {
    close(fd);
    return told(L, path, e);
  }
  file->closef = close_file;
  return 1;
}

/* path, bytes: the file appears whole or not at all, and is on the disk */
static int fs_write(lua_State *L) {
  size_t n;
  const char *path = check_path(L, 1), *bytes = luaL_checklstring(L, 2, &n);
  return told(L, path, ft_outfile_save(path, bytes, n));
}

/* ---- the first names of a directory ---- */

enum { NAMES_MOST = 1000, NAME_ROOM = 256 };

typedef struct best {
  size_t n, most;
  int ascending, more; /* more: there were names that had to go */
  char **order;        /* n slots, the first name first */
  char (*slots)[NAME_ROOM];
} best;

static int precedes(const best *b, const char *one, const char *other) {
  int order = strcmp(one, other);
  return b->ascending ? order < 0 : order > 0;
}

/* Puts the name in its place; where all slots are taken the last name goes */
static void best_add(best *b, const char *name) {
  size_t at = b->n;
  if (b->n == b->most) {
    b->more = 1;
    if (!precedes(b, name, b->order[--at]))
      return;
  } else
    b->order[b->n++] = b->slots[at];
  char *slot = b->order[at];
  for (; at > 0 && precedes(b, name, b->order[at - 1]); at--)
    b->order[at] = b->order[at - 1];
  b->order[at] = slot;
  strcpy(slot, name);
}

/* path, n (1 to 1000), after (nil: from the first), ascending -> array of the first n names behind
   `after`, in the order of their bytes (not ascending: the last ones first), without those that
   begin with a dot; and whether there are more. nil, words, errno. A page of a directory of
   thousands costs neither strings for all of them nor their sorting. */
static int fs_names(lua_State *L) {
  const char *path = check_path(L, 1), *after = luaL_optstring(L, 3, NULL);
  lua_Integer most = luaL_checkinteger(L, 2);
  luaL_argcheck(L, most >= 1 && most <= NAMES_MOST, 2, "from 1 to 1000");
  best b = {0, (size_t)most, lua_toboolean(L, 4), 0, NULL, NULL};
  b.order = lua_newuserdatauv(L, b.most * sizeof *b.order, 0);
  b.slots = lua_newuserdatauv(L, b.most * sizeof *b.slots, 0);
  lua_createtable(L, (int)most, 0);
  DIR *dir = opendir(path);
  if (dir == NULL)
    return told(L, path, errno);
  for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
    if (e->d_name[0] != '.' && strlen(e->d_name) < NAME_ROOM &&
        (after == NULL || precedes(&b, after, e->d_name)))
      best_add(&b, e->d_name);
  closedir(dir);
  for (size_t i = 0; i < b.n; i++) {
    lua_pushstring(L, b.order[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_pushboolean(L, b.more);
  return 2;
}

static const luaL_Reg fs_functions[] = {
    {"mkdir", fs_mkdir}, {"remove", fs_remove}, {"rename", fs_rename},
    {"link", fs_link},   {"stat", fs_stat},     {"write", fs_write},
    {"names", fs_names}, {"open", fs_open},     {NULL, NULL}};

/* core.lock_holder(path) -> the pid of who holds the lock, false: nobody; nil, words, errno */
static int core_lock_holder(lua_State *L) {
  const char *path = check_path(L, 1);
  pid_t pid = ft_lock_holder(path);
  if (pid < 0)
    return told(L, path, errno);
  if (pid > 0)
    lua_pushinteger(L, (lua_Integer)pid);
  else
    lua_pushboolean(L, 0);
  return 1;
}

/* ---- core.spawn ---- */

typedef struct child {
  pid_t pid; /* 0: ended, and taken */
  int status;
} child;

/* [0, +1] the strings of the array (or "name=value" of the pairs) at idx, as a C array that
   lives as long as the userdata on top */
static char *const *push_words(lua_State *L, int idx, int pairs) {
  size_t n = 0, i = 0;
  union {
    const char *in;
    char *out;
  } word;
  idx = lua_absindex(L, idx);
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
    n++;
  char **list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 1);
  lua_createtable(L, (int)n, 0); /* anchors what is made here */
  if (!pairs)
    for (; i < n; i++) {
      lua_rawgeti(L, idx, (lua_Integer)i + 1);
      size_t len;
      word.in = luaL_checklstring(L, -1, &len);
      if (strlen(word.in) != len)
        luaL_error(L, "spawn: argument %d has a NUL in it", (int)i);
      list[i] = word.out;
      lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
  else
    for (lua_pushnil(L); lua_next(L, idx); i++) {
      if (lua_type(L, -2) != LUA_TSTRING)
        luaL_error(L, "spawn: every variable of the environment has a name");
      lua_pushfstring(L, "%s=%s", luaL_checkstring(L, -2), luaL_checkstring(L, -1));
      word.in = lua_tostring(L, -1);
      list[i] = word.out;
      lua_rawseti(L, -4, (lua_Integer)i + 1);
      lua_pop(L, 1);
    }
  list[n] = NULL;
  lua_setiuservalue(L, -2, 1);
  return list;
}

static const char *path_field(lua_State *L, const char *name) {
  const char *path = NULL;
  if (lua_getfield(L, 1, name) != LUA_TNIL)
    path = check_path(L, -1);
  lua_pop(L, 1); /* the table holds it */
  return path;
}

/* {argv, env = {name = value} (the whole environment), cwd, stdin, stdout, stderr (paths)} ->
   child, or nil, words, errno. The child is killed, with its group, when the userdata is closed
   or collected before it has ended. */
static int core_spawn(lua_State *L) {
  ft_proc_spec spec = {NULL, NULL, NULL, NULL, NULL, NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  child *c = lua_newuserdatauv(L, sizeof *c, 0);
  c->pid = 0;
  c->status = -1;
  luaL_setmetatable(L, CHILD_META);
  luaL_argcheck(L, lua_getfield(L, 1, "argv") == LUA_TTABLE && lua_rawlen(L, -1) > 0, 1,
                "argv: an array of strings expected");
  spec.argv = push_words(L, -1, 0);
  if (lua_getfield(L, 1, "env") == LUA_TTABLE)
    spec.env = push_words(L, -1, 1);
  spec.cwd = path_field(L, "cwd");
  spec.in = path_field(L, "stdin");
  spec.out = path_field(L, "stdout");
  spec.err = path_field(L, "stderr");
  int e = ft_proc_spawn(&spec, &c->pid);
  if (e != 0) {
    c->pid = 0;
    return told(L, spec.argv[0], e);
  }
  lua_pushvalue(L, 2);
  return 1;
}

/* child:poll() -> nil while it runs; then its exit status and nil, or false and the signal; false
   alone where somebody else in this process took it */
static int child_poll(lua_State *L) {
  child *c = luaL_checkudata(L, 1, CHILD_META);
  if (c->pid != 0 && ft_proc_ended(c->pid, &c->status))
    c->pid = 0;
  if (c->pid != 0)
    return 0;
  if (c->status != -1 && WIFEXITED(c->status)) {
    lua_pushinteger(L, WEXITSTATUS(c->status));
    return 1;
  }
  lua_pushboolean(L, 0);
  if (c->status == -1)
    return 1;
  lua_pushinteger(L, WTERMSIG(c->status));
  return 2;
}

static int child_close(lua_State *L) {
  child *c = luaL_checkudata(L, 1, CHILD_META);
  pid_t pid = c->pid;
  c->pid = 0;
  if (pid != 0)
    ft_proc_end(pid);
  return 0;
}

/* core.kill(pid, signal): pid < 0 is a group. Only with a pid that is known to live. */
static int core_kill(lua_State *L) {
  static const char *const names[] = {"TERM", "KILL", "STOP", "CONT", "INT", NULL};
  static const int signals[] = {SIGTERM, SIGKILL, SIGSTOP, SIGCONT, SIGINT};
  lua_Integer pid = luaL_checkinteger(L, 1);
  luaL_argcheck(L, pid != 0 && pid != -1 && pid == (lua_Integer)(pid_t)pid, 1, "no process");
  int r = kill((pid_t)pid, signals[luaL_checkoption(L, 2, NULL, names)]);
  return told(L, "kill", r == 0 ? 0 : errno);
}

/* ---- for the command: SIGTERM and SIGHUP end it as Ctrl-C does ----
** The library itself has no handlers; the process is its host's. */

static const int end_signals[] = {SIGTERM, SIGHUP, 0};

static void ending_already(int sig) {
  (void)sig;
}

/* A terminal that closes may say so twice, once itself and once through the shell in it: the second
   one must not keep the first from its end. */
static void end_as_interrupt(int sig) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = ending_already;
  sigemptyset(&action.sa_mask);
  if (sig == SIGHUP)
    sigaction(sig, &action, NULL);
  raise(SIGINT);
}

/* core.catch_ends(): from now on; not what was to be ignored (nohup). Each handler is there for one
   signal: a second SIGTERM ends the process. */
static int core_catch_ends(lua_State *L) {
  struct sigaction action, before;
  (void)L;
  memset(&action, 0, sizeof action);
  action.sa_handler = end_as_interrupt;
  action.sa_flags = (int)SA_RESETHAND;
  sigemptyset(&action.sa_mask);
  for (const int *s = end_signals; *s != 0; s++)
    if (sigaction(*s, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
      sigaction(*s, &action, NULL);
  return 0;
}

/* core.ended_by() -> behind core.catch_ends() the number of the signal that came: the one whose
   handler has gone. nil: none did */
static int core_ended_by(lua_State *L) {
  struct sigaction now;
  for (const int *s = end_signals; *s != 0; s++)
    if (sigaction(*s, NULL, &now) == 0 &&
        (now.sa_handler == SIG_DFL || now.sa_handler == ending_already)) {
      lua_pushinteger(L, *s);
      return 1;
    }
  return 0;
}

/* core.window(fd) -> columns, rows of the terminal that the descriptor is (0, 0: it does not say);
   nil: it is none */
static int core_window(lua_State *L) {
  struct winsize size = {0, 0, 0, 0};
  int fd = (int)luaL_checkinteger(L, 1);
  if (!isatty(fd))
    return 0;
  if (ioctl(fd, TIOCGWINSZ, &size) != 0)
    size.ws_col = size.ws_row = 0;
  lua_pushinteger(L, size.ws_col);
  lua_pushinteger(L, size.ws_row);
  return 2;
}

static const luaL_Reg child_meta[] = {
    {"__gc", child_close}, {"__close", child_close}, {NULL, NULL}};

void ft_system_open(lua_State *L) { /* [-0, +0] into the module table on top */
  ft_new_metatable(L, CHILD_META);
  luaL_setfuncs(L, child_meta, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, child_poll);
  lua_setfield(L, -2, "poll");
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, fs_functions);
  lua_setfield(L, -2, "fs");
  lua_pushcfunction(L, core_spawn);
  lua_setfield(L, -2, "spawn");
  lua_pushcfunction(L, core_lock_holder);
  lua_setfield(L, -2, "lock_holder");
  lua_pushcfunction(L, core_kill);
  lua_setfield(L, -2, "kill");
  lua_pushcfunction(L, core_catch_ends);
  lua_setfield(L, -2, "catch_ends");
  lua_pushcfunction(L, core_ended_by);
  lua_setfield(L, -2, "ended_by");
  lua_pushcfunction(L, core_window);
  lua_setfield(L, -2, "window");
}

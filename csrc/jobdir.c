#include "jobdir.h"

#include "outfile.h"
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JOB_MAX = 16 * 1024 * 1024, DEPTH = 8, STEPS_MAX = 100, TEXT_MAX = 4096 };

/* ---- locks ---- */

/* Locks what the descriptor is open on: itself, or -1, errno and it is closed */
static int lock_open(int fd) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fd < 0 || fcntl(fd, F_SETLK, &lock) == 0)
    return fd;
  int e = errno == EACCES ? EAGAIN : errno;
  close(fd);
  errno = e;
  return -1;
}

/* A new file that is locked before anybody can see it, for a free lock says that its holder has
   died: made under a hidden name, and linked to its own. -1: EEXIST where there is one by now. */
static int lock_new(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t folder = slash != NULL ? (size_t)(slash - path) + 1 : 0, room = strlen(path) + 32;
  char *hidden = malloc(room);
  if (hidden == NULL)
    return -1;
  snprintf(hidden, room, "%.*s.%s.%ld", (int)folder, path, path + folder, (long)getpid());
  int fd = lock_open(open(hidden, O_RDWR | O_CREAT | O_CLOEXEC, 0666)), e = errno;
  if (fd >= 0 && link(hidden, path) != 0) {
    e = errno;
    close(fd);
    fd = -1;
  }
  unlink(hidden);
  free(hidden);
  errno = e;
  return fd;
}

int ft_lock_take(const char *path) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd >= 0 || errno != ENOENT)
    return lock_open(fd);
  fd = lock_new(path);
  if (fd >= 0 || errno == EAGAIN)
    return fd;
  return lock_open(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)); /* or without hard links */
}

/* Not for a process that holds the lock itself: closing the file would let it go */
pid_t ft_lock_holder(const char *path) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return -1;
  int r = fcntl(fd, F_GETLK, &lock), e = errno;
  close(fd);
  errno = e;
  if (r != 0)
    return -1;
  return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

/* ---- job.json ---- */

static int wrong(char *why, size_t room, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(why, room, format, args);
  va_end(args);
  return 0;
}

/* The whole file, with a '\0' behind it; NULL: errno */
static char *read_whole(const char *path, size_t *n) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
  char *text = NULL;
  *n = 0;
  if (fd >= 0 && fstat(fd, &st) == 0) {
    errno = !S_ISREG(st.st_mode) ? EINVAL : st.st_size > JOB_MAX ? EFBIG : 0;
    text = errno == 0 ? malloc((size_t)st.st_size + 1) : NULL;
  }
  ssize_t got = 1;
  while (text != NULL && got > 0 && *n < (size_t)st.st_size) {
    got = read(fd, text + *n, (size_t)st.st_size - *n);
    *n += got > 0 ? (size_t)got : 0;
  }
  if (text != NULL)
    text[*n] = '\0';
  if (fd >= 0)
    close(fd);
  return text;
}

/* The string that begins at the cursor, meant; NULL where it is none, or holds a NUL.
   What it means is never longer than how it is written, so it is put there. */
static char *take_text(ft_json *j) {
  if (ft_json_type(j) != '"') {
    ft_json_skip(j);
    return NULL;
  }
  union {
    const char *in;
    char *out;
  } at; /* the text is ours to write into */
  ft_slice s = ft_json_string(j);
  at.in = s.s;
  size_t n = ft_json_unescape(s, at.out);
  at.out[n] = '\0'; /* over the closing quote, at the latest */
  return strlen(at.out) == n ? at.out : NULL;
}

static size_t count_items(ft_json j) {
  size_t n = 0;
  for (ft_json_enter(&j); ft_json_item(&j); n++)
    ft_json_skip(&j);
  return n;
}

static char **take_argv(ft_json *j) {
  if (ft_json_type(j) != '[' || count_items(*j) == 0)
    return NULL;
  char **argv = calloc(count_items(*j) + 1, sizeof *argv);
  size_t n = 0;
  for (ft_json_enter(j); argv != NULL && ft_json_item(j); n++)
    if ((argv[n] = take_text(j)) == NULL) {
      free(argv);
      return NULL;
    }
  return argv;
}

/* One step; 0: it is not what it should be. What was made is freed with the job. */
static int take_step(ft_step *step, ft_json *j) {
  ft_slice key;
  int ok = ft_json_type(j) == '{';
  if (!ok)
    return 0;
  for (ft_json_enter(j); ok && ft_json_member(j, &key);) {
    if (ft_json_is(key, "argv"))
      ok = step->argv == NULL && (step->argv = take_argv(j)) != NULL;
    else if (ft_json_is(key, "stdin"))
      ok = (step->in = take_text(j)) != NULL;
    else if (ft_json_is(key, "stdout"))
      ok = (step->out = take_text(j)) != NULL;
    else
      ft_json_skip(j);
  }
  return ok && step->argv != NULL;
}

static int take_steps(ft_job *job, ft_json *j) {
  size_t n = ft_json_type(j) == '[' && job->steps == NULL ? count_items(*j) : 0;
  if (n == 0 || n > STEPS_MAX)
    return 0;
  job->steps = calloc(n, sizeof *job->steps);
  if (job->steps == NULL)
    return 0;
  for (ft_json_enter(j); ft_json_item(j);)
    if (!take_step(&job->steps[job->nsteps++], j))
      return 0;
  return 1;
}

static size_t count_members(ft_json j) {
  ft_slice key;
  size_t n = 0;
  for (ft_json_enter(&j); ft_json_member(&j, &key); n++)
    ft_json_skip(&j);
  return n;
}

static void free_env(char **env) {
  for (char **pair = env; pair != NULL && *pair != NULL; pair++)
    free(*pair);
  free(env);
}

/* "NAME=value" for each member, each in memory of its own; NULL where one is no string */
static char **take_env(ft_json *j) {
  ft_slice key;
  if (ft_json_type(j) != '{')
    return NULL;
  char **env = calloc(count_members(*j) + 1, sizeof *env);
  size_t n = 0;
  for (ft_json_enter(j); env != NULL && ft_json_member(j, &key); n++) {
    const char *value = take_text(j);
    char *pair = env[n] = value != NULL ? malloc(key.n + strlen(value) + 2) : NULL;
    size_t k = pair != NULL ? ft_json_unescape(key, pair) : 0;
    if (k == 0 || memchr(pair, '\0', k) != NULL || memchr(pair, '=', k) != NULL) {
      free_env(env);
      return NULL;
    }
    pair[k] = '=';
    strcpy(pair + k + 1, value);
  }
  return env;
}

static double take_number(ft_json *j) {
  int is_number = ft_json_type(j) == '0';
  ft_slice s = ft_json_skip(j);
  return is_number ? strtod(s.s, NULL) : -1;
}

/* One member into the job; 0: it is not what it should be */
static int take_member(ft_job *job, ft_json *j, ft_slice key) {
  if (ft_json_is(key, "steps"))
    return take_steps(job, j);
  if (ft_json_is(key, "env"))
    return job->env == NULL && (job->env = take_env(j)) != NULL;
  if (ft_json_is(key, "cwd"))
    return (job->cwd = take_text(j)) != NULL;
  if (ft_json_is(key, "slots"))
    return (job->slots = take_text(j)) != NULL;
  if (ft_json_is(key, "slot_count")) {
    double n = take_number(j);
    job->slot_count = n >= 1 && n <= 10000 ? (int)n : 0;
    return job->slot_count > 0;
  }
  if (ft_json_is(key, "grace"))
    return (job->grace = take_number(j)) >= 0;
  ft_json_skip(j); /* the provider's own */
  return 1;
}

int ft_job_read(ft_job *job, const char *path, char *why, size_t room) {
  size_t n;
  const char *words;
  ft_slice key;
  memset(job, 0, sizeof *job);
  job->slot_count = 1;
  job->grace = 10;
  char *text = read_whole(path, &n);
  job->text = text;
  if (text == NULL)
    return wrong(why, room, "%s: %s", path, strerror(errno));
  ptrdiff_t at = ft_scan(text, n, DEPTH, &words);
  if (at >= 0)
    return wrong(why, room, "%s: byte %ld: %s", path, (long)at + 1, words);
  ft_json j = ft_json_begin(text, n);
  if (ft_json_type(&j) != '{')
    return wrong(why, room, "%s: not an object", path);
  for (ft_json_enter(&j); ft_json_member(&j, &key);)
    if (!take_member(job, &j, key))
      return wrong(why, room, "%s: '%.*s' is not as it should be", path, (int)key.n, key.s);
  return job->steps != NULL || wrong(why, room, "%s: it has no steps", path);
}

void ft_job_free(ft_job *job) {
  for (int i = 0; i < job->nsteps; i++)
    free(job->steps[i].argv);
  free_env(job->env);
  free(job->steps);
  free(job->text);
  memset(job, 0, sizeof *job);
}

/* ---- what the runner writes ---- */

/* `text` as JSON, at most so long that it fits; bytes that are not ASCII become '?',
   because nobody knows their encoding */
static void escape(const char *text, char *out, size_t room) {
  size_t n = 0;
  for (; *text != '\0' && n + 3 < room; text++) {
    if (*text == '"' || *text == '\\')
      out[n++] = '\\';
    out[n++] = (char)(*text < ' ' || *text > '~' ? '?' : *text);
  }
  out[n] = '\0';
}

int ft_ending_write(const ft_ending *e, const char *path) {
  char text[TEXT_MAX], message[TEXT_MAX / 2];
  escape(e->message != NULL ? e->message : "", message, sizeof message);
  int n = snprintf(
      text, sizeof text,
      "{\"reason\": \"%s\", \"message\": \"%s\", \"step\": %d, \"code\": %d, \"signal\": %d, "
      "\"started_at\": %.3f, \"finished_at\": %.3f, \"wall\": %.3f, \"cpu\": %.3f, "
      "\"max_rss\": %.0f}\n",
      e->reason, message, e->step, e->code, e->signal, e->started_at, e->finished_at, e->wall,
      e->cpu, e->max_rss);
  return ft_outfile_save(path, text, (size_t)n);
}

int ft_started_write(const char *path, pid_t pid, double at) {
  char text[128];
  int n = snprintf(text, sizeof text, "{\"pid\": %ld, \"started_at\": %.3f}\n", (long)pid, at);
  return ft_outfile_save(path, text, (size_t)n);
}

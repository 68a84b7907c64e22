// A server from its start to its end, and what its first thread does meanwhile.
//
//     start: key file, address, socket ─▶ HTTP answers (503 while the model is opened) ─▶ models
//     wait:  signals; clients that leave (EPOLLRDHUP); once a second, pings
//     end:   no new connections, requests are refused with 503 ─▶ those under way are answered ─▶ all is freed
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/state.h"

enum { SIGNALS = 0 }; // in place of a serial, which begin at 1

// ---- exchanges under way

void server_add(server *s, exchange *x)
{
    pthread_mutex_lock(&s->lock);
    x->serial = ++s->n_serials;
    x->older = s->newest;
    if (x->older) x->older->newer = x;
    s->newest = x;
    pthread_mutex_unlock(&s->lock);
}

void server_remove(server *s, exchange *x)
{
    pthread_mutex_lock(&s->lock);
    if (x->newer)
        x->newer->older = x->older;
    else
        s->newest = x->older;
    if (x->older) x->older->newer = x->newer;
    pthread_mutex_unlock(&s->lock);
}

static int socket_of(const exchange *x)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

void server_watch(server *s, const exchange *x)
{
    // a socket that is closed leaves by itself; one that stays has the next request's serial
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = x->serial};
    int fd = socket_of(x);
    if (epoll_ctl(s->watch, EPOLL_CTL_ADD, fd, &e) && errno == EEXIST) epoll_ctl(s->watch, EPOLL_CTL_MOD, fd, &e);
}

static void cancel(server *s, uint64_t serial)
{
    pthread_mutex_lock(&s->lock);
    for (exchange *x = s->newest; x; x = x->older)
        if (x->serial == serial) exchange_cancel(x);
    pthread_mutex_unlock(&s->lock);
}

static void cancel_all(server *s)
{
    pthread_mutex_lock(&s->lock);
    for (exchange *x = s->newest; x; x = x->older) exchange_cancel(x);
    pthread_mutex_unlock(&s->lock);
}

static bool is_idle(server *s)
{
    pthread_mutex_lock(&s->lock);
    bool idle = !s->newest;
    pthread_mutex_unlock(&s->lock);
    return idle;
}

// A model was opened, or could not be: who waits for one looks again.
static void models_changed(void *context)
{
    server *s = context;
    pthread_mutex_lock(&s->lock);
    for (exchange *x = s->newest; x; x = x->older) exchange_wake(x);
    pthread_mutex_unlock(&s->lock);
}

static void ping_all(server *s, bool due)
{
    pthread_mutex_lock(&s->lock);
    for (exchange *x = s->newest; x && due; x = x->older)
        if (atomic_exchange(&x->quiet, true)) exchange_ping(x);
    pthread_mutex_unlock(&s->lock);
}

// ---- start

static wf_status check_options(const server_options *o, wf_error *err)
{
    if (!o->tls_cert != !o->tls_key)
        return error_set(err, WF_ERROR_USAGE, "--tls-cert and --tls-key: one needs the other");
    if (!o->api_key_file && !o->no_auth && !guard_is_loopback(o->host))
        return error_set(err, WF_ERROR_USAGE,
                         "--host %s can be reached from other machines: that needs --api-key-file, or --no-auth",
                         o->host);
    return WF_OK;
}

static int listen_at(const struct addrinfo *a, int *port)
{
    int yes = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, SOMAXCONN) &&
        !getsockname(fd, (struct sockaddr *)&bound, &length)) {
        *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                  : ((struct sockaddr_in *)&bound)->sin_port);
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static wf_status open_socket(server *s, wf_error *err)
{
    const server_options *o = s->options;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    char port[16];
    snprintf(port, sizeof port, "%" PRId64, o->port);
    int error = getaddrinfo(o->host, port, &hints, &list);
    if (error) return error_set(err, WF_ERROR_IO, "--host %s: %s", o->host, gai_strerror(error));
    for (const struct addrinfo *a = list; a && s->listening < 0; a = a->ai_next) s->listening = listen_at(a, &s->port);
    error = errno;
    freeaddrinfo(list);
    if (s->listening >= 0) return WF_OK;
    return error_set(err, WF_ERROR_IO, "%s:%s: %s", o->host, port, strerror(error));
}

// SIGTERM and SIGINT become readable; every thread that is made from now on leaves them alone.
static wf_status watch_signals(server *s, int *signals, wf_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->watch = epoll_create1(EPOLL_CLOEXEC);
    *signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = SIGNALS};
    if (s->watch >= 0 && *signals >= 0 && !epoll_ctl(s->watch, EPOLL_CTL_ADD, *signals, &e)) return WF_OK;
    return error_set(err, WF_ERROR_IO, "epoll: %s", strerror(errno));
}

static wf_status start(server *s, int *signals, wf_error *err)
{
    const server_options *o = s->options;
    TRY(check_options(o, err));
    s->guard = (guard){.host = o->host, .cors_origin = o->cors_origin, .allow_host = o->allow_host};
    if (o->api_key_file) TRY(guard_read_keys(&s->guard, o->api_key_file, err));
    TRY(watch_signals(s, signals, err));
    TRY(open_socket(s, err));
    TRY(models_create(o, models_changed, s, &s->models, err));
    TRY(http_start(s, err));
    bool brackets = strchr(o->host, ':');
    fprintf(stderr, "%s: listening on %s://%s%s%s:%d\n", o->program, o->tls_cert ? "https" : "http",
            brackets ? "[" : "", o->host, brackets ? "]" : "", s->port);
    return WF_OK;
}

// ---- the loop

// Takes a signal: the first lets what is under way end, the second ends it. True: the latter.
static bool take_signals(server *s, int signals)
{
    struct signalfd_siginfo info;
    bool now = false;
    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        now = s->draining;
        if (s->draining) continue;
        s->draining = true;
        fprintf(stderr, "%s: stopping when all who have asked are answered; a second signal stops at once\n",
                s->options->program);
        s->listening = MHD_quiesce_daemon(s->http);
        if (s->listening >= 0) close(s->listening);
        s->listening = -1;
    }
    return now;
}

// A model that is served alone and cannot be opened ends the server.
static wf_status check_model(server *s, wf_error *err)
{
    bool failed;
    models_ready(s->models, &failed, err);
    return failed ? err->status : WF_OK;
}

static wf_status loop(server *s, int signals, wf_error *err)
{
    enum { N_EVENTS = 64 };
    double pinged = clock_seconds(), stopped = 0;
    for (;;) {
        struct epoll_event events[N_EVENTS];
        int n = epoll_wait(s->watch, events, N_EVENTS, s->draining ? 20 : 250);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 != SIGNALS) {
                cancel(s, events[i].data.u64);
            } else if (take_signals(s, signals) && stopped == 0) {
                stopped = clock_seconds();
                cancel_all(s);
            }
        }
        double now = clock_seconds();
        bool due = now - pinged >= (double)s->options->ping;
        ping_all(s, due);
        if (due) pinged = now;
        if (!s->draining) TRY(check_model(s, err));
        if (s->draining && (is_idle(s) || (stopped > 0 && now - stopped > 5))) return WF_OK;
        if (stopped > 0) cancel_all(s);
    }
}

static void stop(server *s, int signals)
{
    cancel_all(s);
    for (int i = 0; i < 500 && s->http && !is_idle(s); i++) usleep(10000); // libmicrohttpd wants nobody asleep
    if (!is_idle(s)) _exit(EXIT_FAILURE); // a client that neither reads nor leaves, or a model that is being opened
    http_stop(s);
    models_free(s->models);
    guard_free(&s->guard);
    if (s->listening >= 0) close(s->listening);
    if (s->watch >= 0) close(s->watch);
    if (signals >= 0) close(signals);
    pthread_mutex_destroy(&s->lock);
}

wf_status server_run(const server_options *options, wf_error *err)
{
    int signals = -1;
    server s = {.options = options, .listening = -1, .watch = -1};
    pthread_mutex_init(&s.lock, NULL);
    wf_status status = start(&s, &signals, err);
    if (status == WF_OK) status = loop(&s, signals, err);
    stop(&s, signals);
    return status;
}

#include "tool/line.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/file.h"

enum { HISTORY_LINES = 1000 };

struct line_reader {
    EditLine *editor;
    History *history;
    HistEvent event;
    int wake_fd;
    mbstate_t partial;   // of a character whose bytes come one by one
    char path[PATH_MAX]; // of the history; empty: none
};

static char *plain_prompt(EditLine *editor)
{
    (void)editor;
    return (char *)"> ";
}

// libedit leaves out what stands between two \1 when it counts columns.
static char *coloured_prompt(EditLine *editor)
{
    (void)editor;
    return (char *)"\1\033[1;32m\1> \1\033[0m\1";
}

// The folder is made; false: no history.
static bool find_history(char *path, size_t bytes)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;
    if (state && *state == '/')
        n = snprintf(path, bytes, "%s/welford", state);
    else if (home && *home)
        n = snprintf(path, bytes, "%s/.local/state/welford", home);
    else
        return false;
    if (n < 0 || (size_t)n + sizeof "/history" > bytes || file_make_folder(path, NULL) != WF_OK) return false;
    memcpy(path + n, "/history", sizeof "/history");
    return true;
}

// Texts are UTF-8 whatever the language; numbers keep their C spelling.
static void set_locale(void)
{
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8")) setlocale(LC_CTYPE, "C.UTF-8");
}

// 1: a byte; 0: the end; -1 with EINTR: woken.
static int read_byte(line_reader *r, char *byte)
{
    struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {r->wake_fd, POLLIN, 0}};
    for (;;) {
        int n = poll(fds, 2, -1);
        if (n < 0 && errno != EINTR) return -1;
        if (n > 0 && fds[1].revents) return errno = EINTR, -1;
        if (n <= 0) continue; // the handler has written, or it was another signal
        n = (int)read(STDIN_FILENO, byte, 1);
        if (n >= 0 || errno != EINTR) return n;
    }
}

// libedit's reader of characters (EL_GETCFN): 1, 0 at the end, -1.
static int read_character(EditLine *editor, wchar_t *character)
{
    line_reader *r;
    el_get(editor, EL_CLIENTDATA, &r);
    for (;;) {
        char byte;
        int n = read_byte(r, &byte);
        if (n <= 0) return n;
        size_t used = mbrtowc(character, &byte, 1, &r->partial);
        if (used != (size_t)-1 && used != (size_t)-2) return 1;
        if (used == (size_t)-1) r->partial = (mbstate_t){0}; // ill-formed: dropped
    }
}

line_reader *line_reader_create(const char *verb, int wake_fd)
{
    line_reader *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->wake_fd = wake_fd;
    set_locale();
    r->editor = el_init(verb, stdin, stderr, stderr);
    r->history = history_init();
    if (!r->editor || !r->history) {
        line_reader_free(r);
        return NULL;
    }
    el_set(r->editor, EL_PROMPT_ESC, tool_wants_colour(stderr) ? coloured_prompt : plain_prompt, '\1');
    el_set(r->editor, EL_EDITOR, "emacs");
    el_set(r->editor, EL_SIGNAL, 0);
    el_set(r->editor, EL_CLIENTDATA, r);
    el_set(r->editor, EL_GETCFN, read_character);
    el_set(r->editor, EL_HIST, history, r->history);
    el_source(r->editor, NULL); // ~/.editrc
    history(r->history, &r->event, H_SETSIZE, HISTORY_LINES);
    history(r->history, &r->event, H_SETUNIQUE, 1);
    if (find_history(r->path, sizeof r->path))
        history(r->history, &r->event, H_LOAD, r->path);
    else
        r->path[0] = 0;
    return r;
}

void line_reader_free(line_reader *r)
{
    if (!r) return;
    if (r->history && r->path[0]) {
        mode_t mask = umask(077); // what people say is theirs
        history(r->history, &r->event, H_SAVE, r->path);
        umask(mask);
    }
    if (r->editor) el_end(r->editor);
    if (r->history) history_end(r->history);
    free(r);
}

line_result line_read(line_reader *r, view *line)
{
    int n = 0;
    errno = 0;
    const char *text = el_gets(r->editor, &n);
    bool woken = n < 0 && errno == EINTR;
    if (!text || n <= 0) return woken ? LINE_INTERRUPTED : LINE_END;
    size_t length = (size_t)n;
    if (text[length - 1] == '\n') length--;
    *line = (view){text, length};
    if (length) history(r->history, &r->event, H_ENTER, text);
    return LINE_TEXT;
}

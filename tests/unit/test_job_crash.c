/* A fake flow against a fake cloud kept in files, killed at every change to the
 * journal's files and at every API call: whatever the moment, a resume ends in the same
 * state as an undisturbed run, and an undo leaves nothing. */
#include "journal_test.h"

#include "base/str.h"
#include "fault_vfs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>

/* The cloud: DIR/volume/TOKEN exists for each volume, DIR/attachment/VOLUME for each
 * attachment (which has no token, as AttachVolume has none). */
struct world {
    struct journal_dir dir;
    char cloud[80];
    unsigned long calls, fail_call, kill_call; /* kill: after the call took effect */
};

static int api_call(struct world *w, struct err *e)
{
    if (++w->calls == w->fail_call)
        return err_set(e, ERR_CLOUD, "call %lu fails", w->calls);
    return 0;
}

static void api_return(struct world *w)
{
    if (w->calls == w->kill_call) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
}

static void path_in(struct world *w, const char *folder, const char *name, char *out,
                    size_t len)
{
    snprintf(out, len, "%s/%s/%s", w->cloud, folder, name);
}

/* CreateVolume: the token makes it one volume however often it is asked. Its id is
 * derived from the token. */
static int create_volume(struct world *w, const char *token, char id[JOB_TOKEN_LEN + 8],
                         struct err *e)
{
    char path[200];
    int fd;

    if (api_call(w, e) < 0)
        return -1;
    snprintf(id, JOB_TOKEN_LEN + 8, "vol-%s", token);
    path_in(w, "volume", id, path, sizeof path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    if (fd < 0)
        return err_sys(e, "%s", path);
    close(fd);
    api_return(w);
    return 0;
}

static int attach_volume(struct world *w, const char *id, struct err *e)
{
    char path[200];
    int fd;

    if (api_call(w, e) < 0)
        return -1;
    path_in(w, "attachment", id, path, sizeof path);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (fd < 0)
        return err_sys(e, "VolumeInUse %s", id);
    close(fd);
    api_return(w);
    return 0;
}

static int delete_thing(struct world *w, const char *folder, const char *id,
                        struct err *e)
{
    char path[200], attached[200];

    if (api_call(w, e) < 0)
        return -1;
    path_in(w, "attachment", id, attached, sizeof attached);
    if (str_eq(folder, "volume") && access(attached, F_OK) == 0)
        return err_set(e, ERR_CLOUD, "VolumeInUse %s", id);
    path_in(w, folder, id, path, sizeof path);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_sys(e, "%s", path);
    api_return(w);
    return 0;
}

static bool is_there(struct world *w, const char *folder, const char *id)
{
    char path[200];

    path_in(w, folder, id, path, sizeof path);
    return access(path, F_OK) == 0;
}

/* ---- the flow ---- */

#define VOLUMES 2

static int create_one(struct job *job, struct world *w, int i, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    char key[16], id[JOB_TOKEN_LEN + 8];

    snprintf(key, sizeof key, "volume/%d", i);
    if (job_resource_intend(job, "volume", key, NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE)
        return 0;
    if (create_volume(w, r.token, id, e) < 0)
        return -1;
    return job_resource_made(job, key, id, NULL, e);
}

static int step_create(struct job *job, void *ctx, struct err *e)
{
    for (int i = 0; i < VOLUMES; i++)
        if (create_one(job, ctx, i, e) < 0)
            return -1;
    return 0;
}

static int volume_id(struct job *job, int i, char *out, size_t len, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    char key[16];

    snprintf(key, sizeof key, "volume/%d", i);
    if (job_resource_get(job, key, &r, e) < 0)
        return -1;
    snprintf(out, len, "%s", r.cloud_id);
    return 0;
}

/* Journal, then cloud, then act. */
static int step_attach(struct job *job, void *ctx, struct err *e)
{
    struct world *w = ctx;

    for (int i = 0; i < VOLUMES; i++) {
        auto_job_resource struct job_resource r = {0};
        char key[24], id[JOB_TOKEN_LEN + 8];

        snprintf(key, sizeof key, "attachment/%d", i);
        if (volume_id(job, i, id, sizeof id, e) < 0 ||
            job_resource_intend(job, "attachment", key, NULL, &r, e) < 0)
            return -1;
        if (!is_there(w, "attachment", id) && attach_volume(w, id, e) < 0)
            return -1;
        if (job_resource_made(job, key, id, NULL, e) < 0)
            return -1;
    }
    return 0;
}

static int step_copy(struct job *job, void *ctx, struct err *e)
{
    if (job_disk_size(job, 0, (uint64_t)3 * 8192, e) < 0)
        return -1;
    for (uint64_t i = 0; i < 3; i++) {
        const struct extent x[] = {{i * 8192, 4096}, {i * 8192 + 4096, 4096}};

        if (job_ranges_done(job, 0, x, 2, e) < 0)
            return -1;
    }
    return 0;
}

static int step_detach(struct job *job, void *ctx, struct err *e)
{
    for (int i = 0; i < VOLUMES; i++) {
        char key[24], id[JOB_TOKEN_LEN + 8];

        snprintf(key, sizeof key, "attachment/%d", i);
        if (volume_id(job, i, id, sizeof id, e) < 0 ||
            delete_thing(ctx, "attachment", id, e) < 0 ||
            job_resource_gone(job, key, e) < 0)
            return -1;
    }
    return 0;
}

static int remove_volume(struct job *job, void *ctx, const struct job_resource *r,
                         struct err *e)
{
    char id[JOB_TOKEN_LEN + 8];

    /* Without an id it is looked up by its token. */
    snprintf(id, sizeof id, "vol-%s", r->token);
    return delete_thing(ctx, "volume", r->cloud_id ? r->cloud_id : id, e);
}

static int remove_attachment(struct job *job, void *ctx, const struct job_resource *r,
                             struct err *e)
{
    char id[JOB_TOKEN_LEN + 8];

    if (volume_id(job, r->key[strlen(r->key) - 1] - '0', id, sizeof id, e) < 0)
        return -1;
    return delete_thing(ctx, "attachment", id, e);
}

static const struct job_flow flow = {
    .kind = "convert",
    .steps = (const struct job_step[]){{"create-volumes", step_create},
                                       {"attach-volumes", step_attach},
                                       {"restore-data", step_copy},
                                       {"detach-volumes", step_detach},
                                       {0}},
    .resources = (const struct job_resource_kind[]){{"volume", remove_volume},
                                                    {"attachment", remove_attachment},
                                                    {0}},
    .first_wait_ns = 1,
};

/* ---- the processes ---- */

/* The job of the journal, made when there is none. */
static int the_job(struct journal *j, struct job **ret, struct err *e)
{
    auto_job_infos struct job_infos v = {0};
    json_auto_t *params = json_object();

    if (journal_jobs(j, &v, e) < 0)
        return -1;
    if (v.n == 0)
        return job_create(j, "convert", "web01.ova", params, ret, e);
    return v.n == 1 ? job_open(j, v.v[0].id, ret, e)
                    : err_set(e, ERR_FAILED, "%zu jobs", v.n);
}

static int with_job(struct world *w, bool undo)
{
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    struct err e = ERR_INIT;
    int r;

    if (journal_open(w->dir.path, &j, &e) < 0 || the_job(j, &job, &e) < 0)
        r = -1;
    else
        r = undo ? job_undo(job, &flow, w, NULL, &e) : job_run(job, &flow, w, NULL, &e);
    if (r < 0 && !w->fail_call)
        fprintf(stderr, "# %s\n", e.msg);
    return r < 0;
}

static int run_child(void *arg)
{
    return with_job(arg, false);
}

static int undo_child(void *arg)
{
    return with_job(arg, true);
}

static unsigned count(struct world *w, const char *folder)
{
    char path[128];
    struct dirent *de;
    unsigned n = 0;
    DIR *d;

    snprintf(path, sizeof path, "%s/%s", w->cloud, folder);
    d = opendir(path);
    assert_non_null(d);
    while ((de = readdir(d)))
        n += de->d_name[0] != '.';
    closedir(d);
    return n;
}

static void assert_job_is(struct world *w, enum job_state state, uint64_t bytes)
{
    auto_journal struct journal *j = NULL;
    auto_job_infos struct job_infos v = {0};

    assert_ok(journal_open(w->dir.path, &j, e));
    assert_ok(journal_jobs(j, &v, e));
    assert_int_equal(v.n, 1);
    assert_int_equal(v.v[0].state, state);
    if (bytes)
        assert_int_equal(v.v[0].done_bytes, bytes);
}

static void world_make(struct world *w)
{
    char path[128];

    *w = (struct world){0};
    journal_dir_make(&w->dir);
    snprintf(w->cloud, sizeof w->cloud, "%s/cloud", w->dir.dir);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", w->cloud, i ? "volume" : "attachment");
        assert_ok(io_mkdir_all(path, 0700, e));
    }
}

static void assert_resumes(struct world *w)
{
    w->calls = w->fail_call = w->kill_call = 0;
    fault.action = FAULT_NONE;
    assert_int_equal(in_child(run_child, w), 0);
    assert_job_is(w, JOB_DONE, 3 * 8192);
    assert_int_equal(count(w, "volume"), VOLUMES);
    assert_int_equal(count(w, "attachment"), 0);
}

static void assert_undoes(struct world *w)
{
    w->calls = w->fail_call = w->kill_call = 0;
    fault.action = FAULT_NONE;
    assert_int_equal(in_child(undo_child, w), 0);
    assert_job_is(w, JOB_UNDONE, 0);
    assert_int_equal(count(w, "volume"), 0);
    assert_int_equal(count(w, "attachment"), 0);
}

enum then { THEN_RESUME, THEN_UNDO };

static void then(struct world *w, enum then what)
{
    if (what == THEN_RESUME)
        assert_resumes(w);
    else
        assert_undoes(w);
    journal_dir_remove(&w->dir);
}

/* Kills a run at its nth journal write, for every n (in strides, so that the two tests
 * below share the work), until a run gets through. */
static void kill_at_every_write(unsigned long first, unsigned long stride, enum then what)
{
    for (unsigned long n = first;; n += stride) {
        struct world w;
        int status;

        world_make(&w);
        fault.action = FAULT_KILL;
        fault.at = n;
        fault.changes = 0;
        status = in_child(run_child, &w);
        if (status != 0)
            assert_int_equal(status, 128 + SIGKILL);
        then(&w, what);
        if (status == 0) {
            assert_true(n > 100);
            return;
        }
    }
}

static void test_resume_after_sigkill_at_every_journal_write(void **state)
{
    kill_at_every_write(1, 1, THEN_RESUME);
}

static void test_undo_after_sigkill_at_every_journal_write(void **state)
{
    kill_at_every_write(1, 1, THEN_UNDO);
}

static void test_undo_after_sigkill_of_an_undo(void **state)
{
    for (unsigned long n = 1;; n += 3) {
        struct world w;
        int status;

        world_make(&w);
        fault.action = FAULT_NONE;
        /* Fails at the detach: volumes and an attachment are there. */
        w.fail_call = 6;
        assert_int_equal(in_child(run_child, &w), 1);
        w.fail_call = 0;
        fault.action = FAULT_KILL;
        fault.at = n;
        fault.changes = 0;
        status = in_child(undo_child, &w);
        then(&w, THEN_UNDO);
        if (status == 0)
            return;
    }
}

/* The call took effect, but nobody lived to note it: a lost reply is the same. */
static void test_resume_and_undo_after_sigkill_behind_every_call(void **state)
{
    for (int what = THEN_RESUME; what <= THEN_UNDO; what++) {
        for (unsigned long n = 1;; n++) {
            struct world w;
            int status;

            world_make(&w);
            fault.action = FAULT_NONE;
            w.kill_call = n;
            status = in_child(run_child, &w);
            then(&w, (enum then)what);
            if (status == 0) {
                assert_int_equal(n, 3 * VOLUMES + 1);
                break;
            }
        }
    }
}

static void test_resume_and_undo_after_every_failing_call(void **state)
{
    for (int what = THEN_RESUME; what <= THEN_UNDO; what++) {
        for (unsigned long n = 1;; n++) {
            struct world w;
            int status;

            world_make(&w);
            fault.action = FAULT_NONE;
            w.fail_call = n;
            status = in_child(run_child, &w);
            if (status)
                assert_job_is(&w, JOB_FAILED, 0);
            then(&w, (enum then)what);
            if (status == 0)
                break;
        }
    }
}

static void test_resume_after_a_full_disk_at_every_write(void **state)
{
    for (unsigned long n = 1;; n += 4) {
        struct world w;
        int status;

        world_make(&w);
        fault.action = FAULT_FULL;
        fault.at = n;
        fault.changes = 0;
        w.fail_call = ULONG_MAX; /* keeps the expected messages quiet */
        status = in_child(run_child, &w);
        then(&w, THEN_RESUME);
        if (status == 0)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_after_sigkill_at_every_journal_write),
        cmocka_unit_test(test_undo_after_sigkill_at_every_journal_write),
        cmocka_unit_test(test_undo_after_sigkill_of_an_undo),
        cmocka_unit_test(test_resume_and_undo_after_sigkill_behind_every_call),
        cmocka_unit_test(test_resume_and_undo_after_every_failing_call),
        cmocka_unit_test(test_resume_after_a_full_disk_at_every_write),
    };

    fault_vfs_register();
    log_setup("test", LOG_QUIET, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

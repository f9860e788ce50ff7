/* For the monitor's test: a job as the engine runs it, whose steps move no data but say
 * they did. What the monitor shows of it is what it would show of a real one.
 *
 * usage: monitor-job JOURNAL TITLE done|test|fail|SECONDS
 *   done      ends at once, with an instance and its console
 *   test      the same as the test failover of a sync, with its evidence
 *   fail      is refused at create-volumes
 *   SECONDS   copies for so long; SIGTERM interrupts it, as it does hotadd */
#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "job/job.h"

#include <signal.h>

#define DISK_BYTES (8ull << 30)
#define TICK_NS    (100 * NS_PER_MS)

struct act {
    uint64_t seconds;
    bool fail;
};

static struct cancel stop = {.event_fd = -1};

static void on_signal(int sig)
{
    cancel_request(&stop);
}

static int create_volumes(struct job *job, void *ctx, struct err *e)
{
    const struct act *a = ctx;
    struct job_resource r = {0};

    if (a->fail)
        return err_set(e, ERR_DENIED,
                       "CreateVolume: the role hotadd-proxy is not authorized to perform "
                       "ec2:CreateVolume for %s",
                       job_title(job));
    for (unsigned d = 0; d < 2; d++) {
        char key[20], id[40];

        snprintf(key, sizeof key, "volume/%u", d);
        snprintf(id, sizeof id, "vol-0%016u", d + 1);
        if (job_disk_size(job, d, DISK_BYTES >> d, e) < 0 ||
            job_resource_intend(job, "volume", key, NULL, &r, e) < 0)
            return -1;
        job_resource_release(&r);
        if (job_resource_made(job, key, id, NULL, e) < 0)
            return -1;
        job_event(job, JOB_EVENT_INFO, "volume %s, %u GiB, for disk %u", id, 8u >> d, d);
    }
    return 0;
}

static int attach_volumes(struct job *job, void *ctx, struct err *e)
{
    job_event(job, JOB_EVENT_INFO, "both volumes are here");
    return 0;
}

static int restore_data(struct job *job, void *ctx, struct err *e)
{
    const struct act *a = ctx;
    uint64_t ticks = a->seconds * NS_PER_S / TICK_NS;

    for (uint64_t t = 0; t <= ticks; t++) {
        for (unsigned d = 0; d < 2; d++) {
            uint64_t len = ticks ? (DISK_BYTES >> d) / ticks * t : 0;
            struct extent x = {0, t == ticks ? DISK_BYTES >> d : len};

            if (job_ranges_done(job, d, &x, 1, e) < 0)
                return -1;
        }
        if (t < ticks && cancel_sleep_ns(&stop, TICK_NS, e) < 0)
            return -1;
    }
    job_event(job, JOB_EVENT_WARNING, "3 blocks were read twice");
    return 0;
}

static int first_boot(struct job *job, void *ctx, struct err *e)
{
    json_auto_t *o = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "instance_id", "i-0123456789abcdef0",
        "state", "running", "status_checks", "ok", "private_ip", "172.31.5.20",
        "public_ip", "", "type", "m6i.large", "zone", "eu-central-1a", "console",
        "[    0.000000] Linux version 6.1.0\n[    1.204011] nvme nvme0: 2/0/0 queues\n"
        "[    2.911770] EXT4-fs (nvme0n1p1): mounted filesystem\n"
        "<img src=x onerror=alert(2)>\n\nDebian GNU/Linux 12 web01 ttyS0\n\nweb01 "
        "login: ");

    return o ? job_value_set(job, "result", o, e) : err_nomem(e);
}

static int test_boot(struct job *job, void *ctx, struct err *e)
{
    json_auto_t *o = json_pack(
        "{s:s, s:b, s:s, s:s, s:n}", "instance", "i-0fedcba9876543210", "booted", 1,
        "console",
        "Debian GNU/Linux 12 web01 ttyS0\n\nweb01 login: ", "screenshot_base64",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
        "AABJRU5ErkJggg==",
        "error");

    return o ? job_value_set(job, "evidence", o, e) : err_nomem(e);
}

static int remove_volume(struct job *job, void *ctx, const struct job_resource *r,
                         struct err *e)
{
    return 0;
}

int main(int argc, char **argv)
{
    static const struct job_step steps[] = {{"create-volumes", create_volumes},
                                            {"attach-volumes", attach_volumes},
                                            {"restore-data", restore_data},
                                            {"first-boot", first_boot},
                                            {NULL, NULL}};
    static const struct job_resource_kind kinds[] = {{"volume", remove_volume},
                                                     {NULL, NULL}};
    static const struct job_step test_steps[] = {
        {"clone-volumes", attach_volumes}, {"test-boot", test_boot}, {NULL, NULL}};
    bool test = argc == 4 && str_eq(argv[3], "test");
    const struct job_flow flow = {.kind = test ? "test-failover" : "convert",
                                  .steps = test ? test_steps : steps,
                                  .resources = kinds,
                                  .attempts = 1};
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    json_auto_t *params =
        json_pack("{s:s, s:s}", "source", "/srv/vms/web01.ova", "sync", "web01");
    struct act a = {0};
    struct err e = ERR_INIT;

    log_setup("monitor-job", LOG_ERROR, LOG_TEXT);
    if (argc != 4) {
        fputs("usage: monitor-job JOURNAL TITLE done|test|fail|SECONDS\n", stderr);
        return 2;
    }
    a.fail = str_eq(argv[3], "fail");
    if (!a.fail && !test && !str_eq(argv[3], "done") &&
        str_to_u64(argv[3], &a.seconds, &e) < 0)
        return 2;
    if (cancel_init(&stop, &e) == 0) {
        signal(SIGTERM, on_signal);
        if (journal_open(argv[1], &j, &e) == 0 &&
            job_create(j, flow.kind, argv[2], params, &job, &e) == 0) {
            printf("%s\n", job_id(job));
            fflush(stdout);
            if (job_run(job, &flow, &a, &stop, &e) == 0)
                return 0;
        }
    }
    log_error("%s", e.msg);
    return 1;
}

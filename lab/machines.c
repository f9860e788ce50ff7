/* Machines under instances; see machines.h.
 *
 * The state of an instance's document says whether it wants a machine: pending and
 * running do, all others do not. A round compares wish and truth, acts without the lock,
 * and writes down what came of it. After a crash no machine is left (vm_reap_stale), so
 * the first round starts those of running instances again. */
#include "lab/machines.h"

#include "lab/imds.h"
#include "lab/instance.h"
#include "lab/volume.h"

#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"

#define TERMINATE_GRACE_NS (10ull * 1000000000ull)

struct machine {
    char id[RES_ID_LEN];
    struct vm *vm;  /* NULL while it starts and ends; set by the keeper's thread under the
                     * lab's lock */
    unsigned users; /* calls on vm without the lock: it is not freed; the lab's lock */
    bool asked, asked_force;  /* vm_stop() was called; the keeper's thread only */
    struct machine_view view; /* guarded by the lab's lock */
};

struct machines {
    struct lab *lab;
    struct machine_list VEC(struct machine *) list; /* changed by the keeper's thread
                                                       under the lab's lock */
};

int machines_new(struct lab *lab, struct machines **ret, struct err *e)
{
    struct machines *m = mem_zalloc(1, sizeof *m, e);

    if (!m)
        return -1;
    m->lab = lab;
    *ret = m;
    return 0;
}

void machines_free(struct machines *m)
{
    if (!m)
        return;
    vec_foreach (p, &m->list) {
        vm_free((*p)->vm);
        free(*p);
    }
    vec_release(&m->list);
    free(m);
}

static struct machine *find(const struct machines *m, const char *id)
{
    if (m)
        vec_foreach (p, &m->list)
            if (str_eq((*p)->id, id))
                return *p;
    return NULL;
}

bool machines_any(const struct lab *lab)
{
    return lab->machines && lab->machines->list.n > 0;
}

struct machine_view machines_view(const struct lab *lab, const char *instance_id)
{
    struct machine *m = find(lab->machines, instance_id);

    return m ? m->view : (struct machine_view){0};
}

int machines_screenshot(struct lab *lab, const char *instance_id, bool wake_up,
                        struct buf *out, struct err *e)
{
    struct machine *m = find(lab->machines, instance_id);
    int r;

    if (!m || !m->vm)
        return 0;
    m->users++;
    pthread_mutex_unlock(&lab->lock);
    r = vm_screenshot(m->vm, wake_up, out, e);
    pthread_mutex_lock(&lab->lock);
    m->users--;
    return r < 0 ? -1 : 1;
}

static enum vm_disks controller_of(const json_t *doc)
{
    const char *name = json_str_or(doc, "_controller", "nvme");

    return str_eq(name, "pvscsi")   ? VM_DISKS_PVSCSI
           : str_eq(name, "lsisas") ? VM_DISKS_LSISAS
           : str_eq(name, "ahci")   ? VM_DISKS_AHCI
                                    : VM_DISKS_NVME;
}

/* Everything vm_start() needs, copied out of the documents. */
struct start {
    char id[RES_ID_LEN];
    struct vm_spec spec;
    struct vm_disk disks[VM_MAX_DISKS];
    json_t *keep; /* strings that the spec borrows; owned */
};

static const char *keep(struct start *s, const char *text, struct err *e)
{
    json_t *v = json_string(text);

    if (!v || json_array_append_new(s->keep, v) < 0) {
        err_nomem(e);
        return "";
    }
    return json_string_value(v);
}

static int add_disk(struct lab *lab, struct start *s, const json_t *volume,
                    const char *root, struct err *e)
{
    const json_t *att = volume_attachment(volume, s->id);
    const char *id = json_str_or(volume, "volumeId", "");
    auto_free char *path = lab_volume_path(lab, id, e);
    struct vm_disk *d = &s->disks[s->spec.n_disks];

    if (!path)
        return -1;
    if (s->spec.n_disks == VM_MAX_DISKS)
        return err_set(e, ERR_UNSUPPORTED, "more than %d disks", VM_MAX_DISKS);
    d->volume_id = keep(s, id, e);
    d->path = keep(s, path, e);
    d->device_name = keep(s, json_str_or(att, "device", ""), e);
    d->is_root = device_names_clash(d->device_name, root);
    d->read_only = false;
    s->spec.n_disks++;
    return 0;
}

/* 1: filled; 0: a volume still waits for its data. */
static int fill_disks(struct lab *lab, struct start *s, const json_t *doc, struct err *e)
{
    const char *root = json_str_or(doc, "rootDeviceName", "");
    json_t *volumes, *v;
    bool waits = false, has_root = false;
    size_t i;
    int r = 0;

    if (volumes_of_instance(lab, s->id, &volumes, e) < 0)
        return -1;
    json_array_foreach (volumes, i, v) {
        waits = waits || json_object_get(v, "_copy");
        if (r == 0)
            r = add_disk(lab, s, v, root, e);
    }
    json_decref(volumes);
    if (r < 0 || waits)
        return r;
    for (size_t d = 0; d < s->spec.n_disks; d++)
        has_root = has_root || s->disks[d].is_root;
    if (!has_root)
        return err_set(e, ERR_REQUIREMENT, "no volume is attached at %s", root);
    s->spec.disks = s->disks;
    return 1;
}

static int fill_start(struct lab *lab, const json_t *doc, struct start *s, struct err *e)
{
    const char *type = json_str_or(doc, "instanceType", ""), *dns, *eni_id;
    const struct instance_type *t = type_find(type);
    const json_t *subnet, *eni;
    auto_free char *host = NULL;

    eni_id = json_string_value(json_array_get(json_object_get(doc, "_interfaces"), 0));
    eni = store_get(lab->store, "network-interface", eni_id ? eni_id : "");
    subnet = store_get(lab->store, "subnet", json_str_or(doc, "subnetId", ""));
    dns = json_str_or(doc, "privateDnsName", "");
    host = str_ndup(dns, strcspn(dns, "."), e);
    if (!host)
        return -1;
    if (!t || !eni || !subnet)
        return err_set(e, ERR_FAILED, "its type, interface or subnet is gone");
    s->spec = (struct vm_spec){
        .instance_id = s->id,
        .state_dir = lab->state_dir,
        .instance_type = keep(s, type, e),
        .vcpus = t->vcpus,
        .memory_bytes = (uint64_t)t->memory_mib << 20,
        .boot = str_eq(json_str_or(doc, "currentInstanceBootMode", ""), "uefi")
                    ? VM_BOOT_UEFI
                    : VM_BOOT_BIOS,
        .controller = controller_of(doc),
        .mac = keep(s, json_str_or(eni, "macAddress", ""), e),
        .private_ip = keep(s, json_str_or(eni, "privateIpAddress", ""), e),
        .subnet_cidr = keep(s, json_str_or(subnet, "cidrBlock", ""), e),
        .hostname = keep(s, host, e),
    };
    return fill_disks(lab, s, doc, e);
}

/* Under the lock: what came of vm_start(). */
static int note_started(struct lab *lab, const char *id, const struct err *why,
                        struct err *e)
{
    json_t *doc;

    if (store_edit(lab->store, "instance", id, &doc, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (!why) {
        if (json_put(doc, "_up", json_true(), e) < 0)
            return -1;
        return store_commit(lab->store, e);
    }
    log_error("%s: does not start: %s", id, why->msg);
    if (instance_set_reason(doc, "Server.InternalError", why->msg, e) < 0 ||
        instance_set_state(
            doc, json_bool_or(doc, "_launching", false) ? "shutting-down" : "stopping",
            e) < 0 ||
        json_put(doc, "_due", json_integer(lab_now_ms()), e) < 0)
        return -1;
    return store_commit(lab->store, e);
}

static void note(struct lab *lab, const char *id, const struct err *why)
{
    struct err e = ERR_INIT;

    if (note_started(lab, id, why, &e) < 0) {
        store_rollback(lab->store);
        log_warning("%s: %s", id, e.msg);
    }
}

static struct machine *add_machine(struct machines *m, const char *id, struct err *e)
{
    struct machine *n = mem_zalloc(1, sizeof *n, e);

    if (!n)
        return NULL;
    snprintf(n->id, sizeof n->id, "%s", id);
    if (vec_push(&m->list, n, e) < 0) {
        free(n);
        return NULL;
    }
    return n;
}

static void drop_machine(struct machines *m, struct machine *which)
{
    for (size_t i = 0; i < m->list.n; i++)
        if (m->list.v[i] == which) {
            m->list.v[i] = m->list.v[--m->list.n];
            free(which);
            return;
        }
}

/* With the lock held; lets it go while the machine starts. */
static void start_one(struct lab *lab, const json_t *doc)
{
    struct start s = {.keep = json_array()};
    struct vm_imds imds = {.answer = imds_answer_vm, .ctx = lab};
    struct err e = ERR_INIT;
    struct machine *n;
    struct vm *vm = NULL;
    int r;

    snprintf(s.id, sizeof s.id, "%s", json_str_or(doc, "instanceId", ""));
    r = fill_start(lab, doc, &s, &e);
    n = r > 0 ? add_machine(lab->machines, s.id, &e) : NULL;
    if (r < 0 || (r > 0 && !n))
        note(lab, s.id, &e);
    if (!n) {
        json_decref(s.keep);
        return;
    }
    pthread_mutex_unlock(&lab->lock);
    r = vm_start(&s.spec, &imds, &vm, &e);
    pthread_mutex_lock(&lab->lock);
    json_decref(s.keep);
    if (r < 0) {
        drop_machine(lab->machines, n);
        note(lab, s.id, &e);
        return;
    }
    n->vm = vm;
    n->view.exists = true;
    n->view.since_ms = lab_now_ms();
    n->view.ssh_port = vm_ssh_port(vm);
    note(lab, s.id, NULL);
    log_info("%s: boots; ssh -p %u 127.0.0.1%s%s", s.id, n->view.ssh_port,
             *vm_network_note(vm) ? "; " : "", vm_network_note(vm));
}

static bool wants_machine(const json_t *doc)
{
    const char *s = instance_state(doc);

    return str_eq(s, "pending") || str_eq(s, "running");
}

/* The machine has ended by itself: the guest switched it off, or QEMU died. */
static int note_ended(struct lab *lab, const char *id, bool crashed, const char *reason,
                      struct err *e)
{
    json_t *doc;
    bool terminate;

    if (store_edit(lab->store, "instance", id, &doc, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (json_put(doc, "_up", json_false(), e) < 0)
        return -1;
    if (wants_machine(doc)) {
        terminate =
            str_eq(json_str_or(doc, "_shutdown", "stop"), "terminate") && !crashed;
        if (instance_set_reason(doc,
                                crashed ? "Server.InternalError"
                                        : "Client.InstanceInitiatedShutdown",
                                crashed ? reason
                                        : "Client.InstanceInitiatedShutdown: Instance "
                                          "initiated shutdown",
                                e) < 0 ||
            instance_set_state(doc, terminate ? "shutting-down" : "stopping", e) < 0)
            return -1;
    }
    if (json_put(doc, "_due", json_integer(lab_now_ms()), e) < 0)
        return -1;
    return store_commit(lab->store, e);
}

/* What a round does to one machine. */
struct visit {
    struct machine *m;
    bool stop, force, reboot;
    uint64_t grace_ns;
};

static void plan_visit(struct lab *lab, struct machine *m, struct visit *v)
{
    json_t *doc = (json_t *)store_get(lab->store, "instance", m->id);
    struct err e = ERR_INIT;

    *v = (struct visit){.m = m};
    if (!doc || !wants_machine(doc)) {
        v->force = !doc || json_bool_or(doc, "_force", false);
        v->stop = !m->asked || (v->force && !m->asked_force);
        v->grace_ns =
            doc && str_eq(instance_state(doc), "shutting-down") ? TERMINATE_GRACE_NS : 0;
        return;
    }
    v->reboot = json_bool_or(doc, "_reboot", false);
    if (!v->reboot)
        return;
    if (store_edit(lab->store, "instance", m->id, &doc, &e) == 0) {
        json_object_del(doc, "_reboot");
        if (store_commit(lab->store, &e) == 0)
            return;
    }
    store_rollback(lab->store);
    v->reboot = false; /* next round */
}

static void ended(struct lab *lab, struct machine *m, enum vm_power power)
{
    struct vm *vm = take_ptr(m->vm);
    struct err e = ERR_INIT;
    char reason[200];

    vm_power_reason(vm, reason, sizeof reason);
    pthread_mutex_unlock(&lab->lock);
    vm_free(vm);
    pthread_mutex_lock(&lab->lock);
    log_info("%s: its machine is off%s%s", m->id, *reason ? ": " : "", reason);
    if (note_ended(lab, m->id, power == VM_POWER_CRASHED, reason, &e) < 0) {
        store_rollback(lab->store);
        log_warning("%s: %s", m->id, e.msg);
    }
    drop_machine(lab->machines, m);
}

/* With the lock held; lets it go to talk to the machine. True when it has ended. */
static void visit(struct lab *lab, struct visit *v)
{
    struct machine *m = v->m;
    struct err e = ERR_INIT;
    struct vm_health health = {0};
    enum vm_power power;

    pthread_mutex_unlock(&lab->lock);
    power = vm_power(m->vm);
    if (power == VM_POWER_RUNNING) {
        health = vm_health(m->vm);
        if (v->stop && vm_stop(m->vm, v->force, v->grace_ns, &e) < 0)
            log_warning("%s: stop: %s", m->id, e.msg);
        if (v->reboot && vm_reboot(m->vm, 0, &e) < 0)
            log_warning("%s: reboot: %s", m->id, e.msg);
    }
    pthread_mutex_lock(&lab->lock);
    if (v->stop) {
        m->asked = true;
        m->asked_force = v->force;
    }
    if (power != VM_POWER_RUNNING) {
        if (m->users == 0) /* else in the next round */
            ended(lab, m, power);
        return;
    }
    m->view.health = health;
    m->view.was_healthy = m->view.was_healthy || (health.dhcp_lease && health.answers);
    if (v->reboot) {
        m->view.since_ms = lab_now_ms();
        m->view.was_healthy = false;
    }
}

static void visit_all(struct lab *lab)
{
    struct machines *ms = lab->machines;
    struct visit v;

    /* Backwards: ending one moves the last into its place. */
    for (size_t i = ms->list.n; i-- > 0;)
        if (i < ms->list.n && ms->list.v[i]->vm) {
            plan_visit(lab, ms->list.v[i], &v);
            visit(lab, &v);
        }
}

void machines_tick(struct lab *lab)
{
    struct err e = ERR_INIT;
    json_t *docs, *d;
    size_t i;

    if (lab->set.no_machines)
        return;
    visit_all(lab);
    if (store_list(lab->store, "instance", &docs, &e) < 0)
        return;
    json_array_foreach (docs, i, d) {
        /* The lock was let go since the list was made: look again. */
        const json_t *now =
            store_get(lab->store, "instance", json_str_or(d, "instanceId", ""));

        if (now && !lab->stopping && instance_boots(lab, now) && wants_machine(now) &&
            !find(lab->machines, json_str_or(now, "instanceId", "")))
            start_one(lab, now);
    }
    json_decref(docs);
}

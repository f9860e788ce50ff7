/* Replaying synthesised logs: what is applied, in which order, and what is refused. */
#include "hivekit.h"

#include "guest/windows/hivelog.h"

#define STATES 4

/* The hive after 0, 1, 2, 3 changes; the third makes it grow. */
static struct buf states[STATES];

static int make_states(void **state)
{
    static char big[9000];

    hivekit_empty(&states[0]);
    for (uint32_t i = 1; i < STATES; i++) {
        auto_hive struct hive *h = NULL;

        assert_ok(hive_open(states[i - 1].data, states[i - 1].len, "T", &h, e));
        assert_gives(1, hive_set_u32(h, "Key", "Value", i, e));
        if (i == 3)
            assert_gives(1, hive_set(h, "Key", "Big", REG_T_BINARY, big, sizeof big, e));
        assert_ok(hive_bytes(h, &states[i], e));
    }
    return 0;
}

static int free_states(void **state)
{
    for (int i = 0; i < STATES; i++)
        buf_release(&states[i]);
    return 0;
}

static void copy(struct buf *to, const struct buf *from)
{
    buf_reset(to);
    buf_add(to, from->data, from->len);
}

/* A dirty hive at state 0 whose last flush was number 10, and an empty log. */
static void start(struct buf *hive, struct buf *log)
{
    copy(hive, &states[0]);
    hivekit_dirty(hive, 11, 10);
    if (log)
        hivekit_log(hive, log);
}

static uint32_t value_of(const struct buf *hive)
{
    auto_hive struct hive *h = NULL;
    uint32_t v = 0;

    assert_ok(hive_open(hive->data, hive->len, "T", &h, e));
    assert_ok(hive_get_u32(h, "Key", "Value", &v, e));
    return v;
}

#define LOG(b) (b).data, (b).len

static void marvin_has_its_known_answers(void **state)
{
    static const struct {
        const char *data;
        uint64_t hash;
    } known[] = {
        {"", 0x30ed35c100cd3c7d},
        {"\xaf", 0x48e73fc77d75ddc1},
        {"\xe7\x0f", 0xb5f6e1fc485dbff8},
        {"\x37\xf4\x95", 0xf0b07c789b8cf7e8},
        {"\x86\x42\xdc\x59", 0x7008f2e87e9cf556},
        {"\xab\x42\x7e\xa8\xd1\x0f\xc7", 0xe11847e4f0678c41},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(
            marvin32(0x004fb61a001bdbcc, known[i].data, strlen(known[i].data)),
            known[i].hash);
}

static void a_clean_hive_is_left_alone(void **state)
{
    auto_buf struct buf hive = BUF_INIT, log = BUF_INIT;
    uint32_t n = 9;

    copy(&hive, &states[0]);
    hivekit_log(&hive, &log);
    hivekit_entry(&states[0], &states[1], 1, &log);
    assert_int_equal(hivelog_header(hive.data, hive.len).state, HIVE_CLEAN);
    assert_ok(hivelog_replay(&hive, LOG(log), NULL, 0, &n, e));
    assert_int_equal(n, 0);
    assert_memory_equal(hive.data, states[0].data, hive.len);
}

static void entries_are_applied_in_order_and_the_hive_grows(void **state)
{
    auto_buf struct buf hive = BUF_INIT, log = BUF_INIT;
    struct hive_header h;
    uint32_t n;

    start(&hive, &log);
    for (uint32_t i = 0; i + 1 < STATES; i++)
        hivekit_entry(&states[i], &states[i + 1], 10 + i, &log);
    assert_ok(hivelog_replay(&hive, NULL, 0, LOG(log), &n, e));
    assert_int_equal(n, 3);
    assert_int_equal(value_of(&hive), 3);
    assert_true(hive.len > states[0].len);
    assert_memory_equal(hive.data + 4096, states[3].data + 4096, states[3].len - 4096);
    h = hivelog_header(hive.data, hive.len);
    assert_int_equal(h.state, HIVE_CLEAN);
    assert_int_equal(h.primary, 12);
}

static void both_logs_count_the_older_first(void **state)
{
    auto_buf struct buf hive = BUF_INIT, log1 = BUF_INIT, log2 = BUF_INIT;
    uint32_t n;

    start(&hive, &log1);
    hivekit_log(&hive, &log2);
    hivekit_entry(&states[1], &states[2], 11, &log1);
    hivekit_entry(&states[2], &states[3], 12, &log1);
    hivekit_entry(&states[0], &states[1], 10, &log2);
    assert_ok(hivelog_replay(&hive, LOG(log1), LOG(log2), &n, e));
    assert_int_equal(n, 3);
    assert_int_equal(value_of(&hive), 3);
}

static void applied_entries_are_passed_over(void **state)
{
    auto_buf struct buf hive = BUF_INIT, log = BUF_INIT;
    uint32_t n;

    copy(&hive, &states[1]);
    hivekit_dirty(&hive, 12, 11);
    hivekit_log(&hive, &log);
    hivekit_entry(&states[0], &states[1], 10, &log);
    hivekit_entry(&states[1], &states[2], 11, &log);
    assert_ok(hivelog_replay(&hive, LOG(log), NULL, 0, &n, e));
    assert_int_equal(n, 1);
    assert_int_equal(value_of(&hive), 2);
}

static void a_torn_last_entry_ends_the_replay(void **state)
{
    auto_buf struct buf hive = BUF_INIT, log = BUF_INIT;
    uint32_t n;

    start(&hive, &log);
    hivekit_entry(&states[0], &states[1], 10, &log);
    hivekit_entry(&states[1], &states[2], 11, &log);
    log.data[log.len - 700] ^= 1;
    assert_ok(hivelog_replay(&hive, LOG(log), NULL, 0, &n, e));
    assert_int_equal(n, 1);
    assert_int_equal(value_of(&hive), 1);
}

static void a_torn_header_comes_from_the_log(void **state)
{
    auto_buf struct buf hive = BUF_INIT, log = BUF_INIT;
    uint32_t n;

    start(&hive, &log);
    hivekit_entry(&states[0], &states[1], 10, &log);
    memset(hive.data + 36, 0xee, 100);
    assert_int_equal(hivelog_header(hive.data, hive.len).state, HIVE_DIRTY);
    assert_ok(hivelog_replay(&hive, LOG(log), NULL, 0, &n, e));
    assert_int_equal(value_of(&hive), 1);
    start(&hive, NULL);
    memset(hive.data + 36, 0xee, 100);
    log.data[100] ^= 1;
    assert_fails(hivelog_replay(&hive, LOG(log), NULL, 0, &n, e), ERR_INPUT, "copies");
}

static void what_cannot_be_replayed_is_refused_unchanged(void **state)
{
    auto_buf struct buf hive = BUF_INIT, log = BUF_INIT, log2 = BUF_INIT, was = BUF_INIT;
    uint32_t n = 5;

    start(&hive, &log);
    copy(&was, &hive);
    assert_fails(hivelog_replay(&hive, NULL, 0, NULL, 0, &n, e), ERR_INPUT, "empty");
    hivekit_entry(&states[0], &states[1], 12, &log);
    assert_fails(hivelog_replay(&hive, LOG(log), NULL, 0, &n, e), ERR_INPUT,
                 "changes between are lost");
    hivekit_log(&hive, &log2);
    hivekit_entry(&states[1], &states[2], 14, &log2);
    assert_fails(hivelog_replay(&hive, LOG(log), LOG(log2), &n, e), ERR_INPUT,
                 "do not join");
    buf_reset(&log);
    hivekit_log(&hive, &log);
    buf_add(&log, "DIRT", 4);
    while (log.len < 2048)
        buf_addc(&log, 1);
    assert_fails(hivelog_replay(&hive, LOG(log), NULL, 0, &n, e), ERR_INPUT,
                 "before Windows 8.1");
    assert_int_equal(n, 5);
    assert_int_equal(hive.len, was.len);
    assert_memory_equal(hive.data, was.data, was.len);
    buf_reset(&hive);
    assert_fails(hivelog_replay(&hive, NULL, 0, NULL, 0, &n, e), ERR_INPUT,
                 "no registry");
}

static void an_entry_without_its_bins_is_refused(void **state)
{
    auto_buf struct buf hive = BUF_INIT, log = BUF_INIT;
    uint32_t n;

    /* Grows the hive, but the new pages are not among its pages. */
    start(&hive, &log);
    hivekit_entry(&states[3], &states[3], 10, &log);
    assert_fails(hivelog_replay(&hive, LOG(log), NULL, 0, &n, e), ERR_INPUT, "not sound");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marvin_has_its_known_answers),
        cmocka_unit_test(a_clean_hive_is_left_alone),
        cmocka_unit_test(entries_are_applied_in_order_and_the_hive_grows),
        cmocka_unit_test(both_logs_count_the_older_first),
        cmocka_unit_test(applied_entries_are_passed_over),
        cmocka_unit_test(a_torn_last_entry_ends_the_replay),
        cmocka_unit_test(a_torn_header_comes_from_the_log),
        cmocka_unit_test(what_cannot_be_replayed_is_refused_unchanged),
        cmocka_unit_test(an_entry_without_its_bins_is_refused),
    };

    return cmocka_run_group_tests(tests, make_states, free_states);
}

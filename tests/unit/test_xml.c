#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "base/xml.h"

#include <sys/mman.h>
#include <unistd.h>

#define LIMIT 65536

static int parse(const char *text, xmlDoc **ret, struct err *e)
{
    return xml_parse(text, strlen(text), LIMIT, "answer", ret, e);
}

static void test_names_without_their_prefix(void **state)
{
    auto_xml xmlDoc *doc = NULL;
    auto_free char *text = NULL, *none = NULL, *attr = NULL;
    xmlNode *set;
    int n = 0;

    assert_ok(parse("<?xml version=\"1.0\"?><a xmlns:x=\"urn:x\"><x:set><item>1</item>"
                    "<other/><item x:id=\"i\"> two\n</item></x:set></a>",
                    &doc, e));
    assert_true(xml_is(xml_root(doc), "a"));
    set = xml_child(xml_root(doc), "set");
    for (XML_EACH (item, xml_child(set, "item")))
        n++;
    assert_int_equal(n, 2);
    assert_ok(xml_text(xml_next(xml_child(set, "item")), &text, e));
    assert_string_equal(text, "two");
    assert_ok(xml_attr(xml_next(xml_child(set, "item")), "id", &attr, e));
    assert_string_equal(attr, "i");
    assert_ok(xml_child_text(set, "absent", &none, e));
    assert_null(none);
}

static void nest(struct buf *b, int depth)
{
    for (int i = 0; i < depth; i++)
        buf_adds(b, "<a>");
    for (int i = 0; i < depth; i++)
        buf_adds(b, "</a>");
}

static void test_limits(void **state)
{
    auto_buf struct buf deep = BUF_INIT, deeper = BUF_INIT;
    auto_xml xmlDoc *doc = NULL;
    xmlDoc *none = NULL;

    nest(&deep, 60);
    nest(&deeper, 70);
    assert_ok(parse(buf_str(&deep), &doc, e));
    assert_fails(parse(buf_str(&deeper), &none, e), ERR_INPUT,
                 "answer: XML nested deeper than 64");
    assert_fails(xml_parse("<a/>", 4, 3, "answer", &none, e), ERR_INPUT,
                 "answer: 4 bytes of XML, at most 3 are read");
    assert_null(none);
}

static void test_document_types_are_refused(void **state)
{
    xmlDoc *none = NULL;

    assert_fails(parse("<!DOCTYPE a [<!ENTITY f SYSTEM \"file:///etc/hostname\">]>"
                       "<a>&f;</a>",
                       &none, e),
                 ERR_INPUT, "document type");
    assert_null(none);
}

static void test_says_where(void **state)
{
    xmlDoc *none = NULL;
    struct err is;

    assert_int_equal(parse("<a>\n<b>\n</a>", &none, &is), -1);
    assert_int_equal(is.kind, ERR_INPUT);
    assert_string_equal(is.msg, "answer: not well-formed XML: line 3: "
                                "Opening and ending tag mismatch: b line 2 and a");
    assert_fails(parse("", &none, e), ERR_INPUT, "not well-formed");
}

/* libxml2 prints what its decoders complain about, unless it is told not to. */
static void test_prints_nothing(void **state)
{
    int fd = memfd_create("stderr", MFD_CLOEXEC), old = dup(STDERR_FILENO);
    xmlDoc *none = NULL;
    struct err e;
    int r;

    assert_true(fd >= 0 && old >= 0);
    fflush(stderr);
    dup2(fd, STDERR_FILENO);
    r = parse("<?xml version=\"1.0\" encoding=\"BIG5\"?><a>\273</a>", &none, &e);
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    assert_int_equal(r, -1);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    close(fd);
    close(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_without_their_prefix),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_document_types_are_refused),
        cmocka_unit_test(test_says_where),
        cmocka_unit_test(test_prints_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

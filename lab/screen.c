/* PPM to JPEG by libjpeg; see screen.h. No state. */
#include "lab/screen.h"

#include "base/auto.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#define MAX_SIDE 4096u
#define QUALITY  85

/* libjpeg's way out of an error is not to return. */
struct guard {
    struct jpeg_error_mgr mgr;
    jmp_buf out;
};

static _Noreturn void bail_out(j_common_ptr c)
{
    longjmp(((struct guard *)c->err)->out, 1);
}

static void say_nothing(j_common_ptr c)
{
    c->err->num_warnings++;
}

/* The next number of the header: white space, then up to five digits. */
static bool take_number(const unsigned char **p, const unsigned char *end, unsigned *ret)
{
    unsigned v = 0, n = 0;

    while (*p < end && isspace(**p))
        ++*p;
    for (; *p < end && isdigit(**p) && n < 5; n++, ++*p)
        v = v * 10 + (unsigned)(**p - '0');
    *ret = v;
    return n > 0 && *p < end && isspace(**p);
}

static void compress(struct jpeg_compress_struct *c, const unsigned char *pixels)
{
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        const unsigned char *at = pixels + (size_t)c->next_scanline * c->image_width * 3;
        JSAMPROW row = (JSAMPROW)at;

        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
}

static int write_jpeg(const unsigned char *pixels, unsigned width, unsigned height,
                      struct buf *out, struct err *e)
{
    struct jpeg_compress_struct c;
    struct guard guard;
    unsigned char *volatile data = NULL;
    unsigned long len = 0;
    unsigned char *made = NULL;
    int r = 0;

    c.err = jpeg_std_error(&guard.mgr);
    guard.mgr.error_exit = bail_out;
    guard.mgr.output_message = say_nothing;
    if (setjmp(guard.out)) {
        jpeg_destroy_compress(&c);
        free(data);
        return err_set(e, ERR_FAILED, "libjpeg cannot write the picture");
    }
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &made, &len);
    c.image_width = width;
    c.image_height = height;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, QUALITY, TRUE);
    compress(&c, pixels);
    data = made;
    buf_add(out, data, len);
    r = buf_check(out, e);
    jpeg_destroy_compress(&c);
    free(data);
    return r;
}

int screen_jpeg(const void *ppm, size_t len, struct buf *out, struct err *e)
{
    const unsigned char *p = ppm, *end = p + len;
    unsigned width, height, depth;

    if (len < 2 || memcmp(p, "P6", 2) != 0)
        return err_set(e, ERR_INPUT, "the picture of the display is no PPM");
    p += 2;
    if (!take_number(&p, end, &width) || !take_number(&p, end, &height) ||
        !take_number(&p, end, &depth) || width == 0 || height == 0 || width > MAX_SIDE ||
        height > MAX_SIDE || depth != 255)
        return err_set(e, ERR_INPUT, "the picture of the display has a strange header");
    p++;
    if ((size_t)(end - p) < (size_t)width * height * 3)
        return err_set(e, ERR_INPUT, "the picture of the display ends early");
    return write_jpeg(p, width, height, out, e);
}

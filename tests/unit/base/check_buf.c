/* The bounded writer and reader. */
#include <check.h>
#include <string.h>

#include "base/buf.h"

START_TEST(what_is_written_is_read)
{
    struct buf buf = {0};
    buf_u8(&buf, 0xab);
    buf_u32(&buf, 0x01020304);
    buf_u64(&buf, UINT64_C(0x1122334455667788));
    buf_bytes(&buf, "text", 4);
    buf_bytes(&buf, NULL, 0);
    ck_assert_uint_eq(buf.len, 17);
    ck_assert(
        memcmp(buf.data, "\xab\4\3\2\1\x88\x77\x66\x55\x44\x33\x22\x11text", 17) == 0);
    ck_assert_int_eq(buf_check(&buf, NULL), 0);
    struct buf_reader in = buf_reader(buf.data, buf.len);
    ck_assert_uint_eq(buf_read_u8(&in), 0xab);
    ck_assert_uint_eq(buf_read_u32(&in), 0x01020304);
    ck_assert_uint_eq(buf_read_u64(&in), UINT64_C(0x1122334455667788));
    ck_assert(!buf_is_done(&in));
    ck_assert(memcmp(buf_read_bytes(&in, 4), "text", 4) == 0);
    ck_assert(buf_is_done(&in));
    buf_free(&buf);
}
END_TEST

START_TEST(grows_and_starts_again)
{
    struct buf buf = {0};
    for (uint32_t i = 0; i < 10000; i++)
        buf_u32(&buf, i);
    struct buf_reader in = buf_reader(buf.data, buf.len);
    for (uint32_t i = 0; i < 10000; i++)
        ck_assert_uint_eq(buf_read_u32(&in), i);
    ck_assert(buf_is_done(&in));
    buf_clear(&buf);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert_ptr_nonnull(buf_space(&buf, 3));
    ck_assert(memcmp(buf.data, "\0\0\0", 3) == 0);
    buf_free(&buf);
}
END_TEST

START_TEST(never_past_the_end)
{
    struct buf_reader in = buf_reader("\1\2\3", 3);
    ck_assert_uint_eq(buf_read_u32(&in), 0);
    ck_assert(in.is_short && !buf_is_done(&in));
    ck_assert_uint_eq(buf_read_u8(&in), 0); /* once short, always short */
    ck_assert_ptr_null(buf_read_bytes(&in, 0));
    in = buf_reader("\1\2\3", 3);
    ck_assert_ptr_null(buf_read_bytes(&in, SIZE_MAX));
    in = buf_reader(NULL, 0);
    ck_assert(buf_is_done(&in));
}
END_TEST

START_TEST(more_than_memory)
{
    struct buf buf = {0};
    struct error err = {0};
    buf_u8(&buf, 1);
    ck_assert_ptr_null(buf_space(&buf, SIZE_MAX - 10));
    buf_u8(&buf, 2);
    ck_assert_int_eq(buf_check(&buf, &err), -PPT_ENOMEM);
    buf_free(&buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tcase = tcase_create("buf");
    tcase_add_test(tcase, what_is_written_is_read);
    tcase_add_test(tcase, grows_and_starts_again);
    tcase_add_test(tcase, never_past_the_end);
    tcase_add_test(tcase, more_than_memory);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}

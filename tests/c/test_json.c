/* JSON between Lua and cJSON: what survives, what is refused, and with which words. */
#include "lua_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

static lua_State *L;

static int setup(void **state)
{
	(void)state;
	L = luaL_newstate();
	luaL_openlibs(L);
	kon_lua_open_json(L);
	lua_setglobal(L, "json");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lua_close(L);
	return 0;
}

static void check(const char *program)
{
	if (luaL_dostring(L, program) != 0)
		fail_msg("%s", lua_tostring(L, -1));
}

static void values_survive_byte_for_byte(void **state)
{
	(void)state;
	check("for _, text in ipairs { '{}', '[]', '[[],{}]', '9007199254740992', '1700000000000000', '0.5',\n"
	      "  '{\"a\":{\"b\":[1,2,{}]},\"c\":\"\"}' } do\n"
	      "  local back = json.encode((json.decode(text)))\n"
	      "  assert(back == text, text .. ' became ' .. back) end");
}

static void keys_are_sorted_so_that_equal_values_give_equal_text(void **state)
{
	(void)state;
	check("local t = {} for i = 50, 1, -1 do t['k' .. i % 50 + 10] = i end\n"
	      "local u = {} for i = 1, 50 do u['k' .. i % 50 + 10] = i end\n"
	      "assert(json.encode(t) == json.encode(u))");
}

static void what_is_not_json_is_refused_with_the_place(void **state)
{
	(void)state;
	check("for _, text in ipairs { '', '{', '[1,', 'nul', '1 2', '{\"a\":1}x', '\"\\\\u0000\"', '\"a\\0b\"' } do\n"
	      "  local value, code, detail = json.decode(text)\n"
	      "  assert(value == nil and code == 'usage' and #detail > 0, text) end\n"
	      "assert(select(3, json.decode('{\"a\":1}x')):find('byte 7'))");
}

static void deep_nesting_is_refused_both_ways(void **state)
{
	(void)state;
	check("local text = ('['):rep(200) .. (']'):rep(200)\n"
	      "assert(select(2, json.decode(text)) == 'usage')\n"
	      "local t = {} t.t = t assert(select(2, json.encode(t)) == 'usage')");
}

static void what_json_cannot_carry_is_refused_on_writing(void **state)
{
	(void)state;
	check("for _, value in ipairs { print, 0/0, 1/0, '\\255', 'a\\0b', { [1.5] = 1 }, { 1, nil, 3, x = 1 }, { "
	      "print } } do\n"
	      "  local text, code, detail = json.encode(value)\n"
	      "  assert(text == nil and code == 'usage' and detail:find('cannot be written as JSON'), tostring(value)) "
	      "end");
}

static void an_escaped_backslash_before_u0000_is_no_nul(void **state)
{
	(void)state;
	check("assert(json.decode('\"\\\\\\\\u0000\"') == '\\\\u0000')");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(values_survive_byte_for_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_are_sorted_so_that_equal_values_give_equal_text, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_json_is_refused_with_the_place, setup, teardown),
		cmocka_unit_test_setup_teardown(deep_nesting_is_refused_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(what_json_cannot_carry_is_refused_on_writing, setup, teardown),
		cmocka_unit_test_setup_teardown(an_escaped_backslash_before_u0000_is_no_nul, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

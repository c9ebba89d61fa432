/* JSON between Lua and cJSON: what survives, what is refused, and with which words. */
#include "lua_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cjson/cJSON.h>
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

static void a_null_in_a_list_keeps_its_place_and_one_in_an_object_is_absent(void **state)
{
	(void)state;
	check("for _, text in ipairs { '[null]', '[1,null,3]', '{\"a\":[[null,null],{\"b\":[null]}]}' } do\n"
	      "  local back = json.encode((json.decode(text)))\n"
	      "  assert(back == text, text .. ' became ' .. back) end\n"
	      "assert(#json.decode('[1,null,3]') == 3 and json.encode((json.decode('{\"a\":null}'))) == '{}')\n"
	      "assert(json.decode('null') == nil)");
}

static void values_larger_than_one_block_of_memory_survive(void **state)
{
	(void)state;
	check("local long = ('x'):rep(100000)\n"
	      "local t = { list = {}, long = long, [long] = { 1 } }\n"
	      "for i = 1, 20000 do t.list[i] = { n = i, s = 's' .. i } end\n"
	      "local text = json.encode(t)\n"
	      "local back = json.decode(text)\n"
	      "assert(back.long == long and back[long][1] == 1 and #back.list == 20000)\n"
	      "for i = 1, 20000 do assert(back.list[i].n == i and back.list[i].s == 's' .. i) end\n"
	      "assert(json.encode(back) == text)");
}

static void a_refusal_in_the_middle_leaves_nothing_behind(void **state)
{
	(void)state;
	check("local half = { a = { 1, { b = 'c' } }, z = print }\n"
	      "for _ = 1, 3 do\n"
	      "  assert(json.encode(half) == nil and json.decode('{\"a\":[1,{\"b\":') == nil)\n"
	      "  assert(json.encode({ a = 1 }) == '{\"a\":1}' and json.decode('[1]')[1] == 1) end");
	/* Elsewhere cJSON takes memory as ever, to be given back one by one: the sanitizers would tell. */
	cJSON *other = cJSON_CreateObject();
	cJSON_AddStringToObject(other, "name", "value");
	cJSON_Delete(other);
}

static void what_is_encoded_may_be_collected_meanwhile(void **state)
{
	(void)state;
	check("for i = 1, 2000 do\n"
	      "  local t = setmetatable({}, { __jsontype = 'array' })\n"
	      "  for j = 1, 20 do t[j] = { ['key' .. i .. j] = 'value' .. j } end\n"
	      "  assert(json.decode(json.encode(t))[20]['key' .. i .. '20'] == 'value20') end");
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
		cmocka_unit_test_setup_teardown(a_null_in_a_list_keeps_its_place_and_one_in_an_object_is_absent, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(values_larger_than_one_block_of_memory_survive, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refusal_in_the_middle_leaves_nothing_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_encoded_may_be_collected_meanwhile, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

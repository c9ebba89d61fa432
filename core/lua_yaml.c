/*
 * Scalars are read as kubectl's parser reads them: null, booleans with the words of YAML 1.1, numbers, text.
 * Refused, with line and column: what can make a small file large or deep (aliases, nesting), what two readers may
 * understand differently (a key that stands twice, more than one document), and tags beyond those of plain values.
 * A null is no value: the key is as if it were not there, and a list has none.
 */
#include "lua_yaml.h"

#include <ctype.h>
#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "lua_core.h"
#include "lua_json.h"

#define MAX_DEPTH 64
#define MAX_NUMBER 80 /* characters of one with underscores */
#define TAG_PREFIX "tag:yaml.org,2002:"

struct reader {
	lua_State *L;
	yaml_parser_t parser;
	yaml_event_t event; /* the current one */
	bool has_event;
	const char *name;
	const char *text;
	size_t size;
	struct kon_err *err;
};

/* ---- what is wrong, and where ---- */

/* The place of the current event. */
static int refuse(struct reader *reader, const char *what)
{
	const yaml_mark_t *at = &reader->event.start_mark;
	return kon_err_set(reader->err, KON_CONFIG, "%s:%zu:%zu: %s", reader->name, at->line + 1, at->column + 1, what);
}

/* Whether the line, counted from 0, begins with white space that has a tab in it. */
static bool is_indented_by_tab(const struct reader *reader, size_t line)
{
	const char *at = reader->text;
	const char *end = reader->text + reader->size;
	while (line > 0 && at < end)
		line -= *at++ == '\n';
	while (at < end && *at == ' ')
		at++;
	return at < end && *at == '\t';
}

static int syntax_error(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
	if (parser->error == YAML_MEMORY_ERROR)
		return kon_err_set(reader->err, KON_SYSTEM, "%s: out of memory", reader->name);
	if (parser->error == YAML_READER_ERROR)
		return kon_err_set(reader->err, KON_CONFIG, "%s: not YAML: %s at byte %zu", reader->name, problem,
		                   parser->problem_offset + 1);
	const yaml_mark_t *at = &parser->problem_mark;
	if (is_indented_by_tab(reader, at->line))
		problem = "the line is indented by a tab, where YAML wants spaces";
	return kon_err_set(reader->err, KON_CONFIG, "%s:%zu:%zu: not YAML: %s", reader->name, at->line + 1,
	                   at->column + 1, problem);
}

static int next(struct reader *reader)
{
	if (reader->has_event)
		yaml_event_delete(&reader->event);
	reader->has_event = yaml_parser_parse(&reader->parser, &reader->event) != 0;
	return reader->has_event ? 0 : syntax_error(reader);
}

/* ---- scalars ---- */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static bool is_null(const char *text)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
	return is_one_of(text, words);
}

static bool is_true(const char *text)
{
	static const char *const words[] = {"true", "True", "TRUE", "yes", "Yes", "YES",
	                                    "on",   "On",   "ON",   "y",   "Y",   NULL};
	return is_one_of(text, words);
}

static bool is_false(const char *text)
{
	static const char *const words[] = {"false", "False", "FALSE", "no", "No", "NO",
	                                    "off",   "Off",   "OFF",   "n",  "N",  NULL};
	return is_one_of(text, words);
}

static size_t count_digits(const char *text)
{
	size_t count = 0;
	while (isdigit((unsigned char)text[count]))
		count++;
	return count;
}

/* [-+]? (digits [. digits?] | . digits) ([eE] [-+]? digits)? */
static bool is_decimal(const char *text)
{
	text += *text == '-' || *text == '+';
	size_t whole = count_digits(text);
	text += whole;
	size_t fraction = 0;
	if (*text == '.') {
		fraction = count_digits(++text);
		text += fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		size_t exponent = count_digits(text);
		return exponent > 0 && text[exponent] == '\0';
	}
	return *text == '\0';
}

/* Whole numbers to another base: 0x, 0o, 0b, and the 0 of YAML 1.1 for eight.  Gives false when it is none. */
static bool parse_based(const char *text, double *value)
{
	bool is_negative = *text == '-';
	text += *text == '-' || *text == '+';
	if (text[0] != '0' || text[1] == '\0')
		return false;
	int base = text[1] == 'x' ? 16 : text[1] == 'o' ? 8 : text[1] == 'b' ? 2 : 0;
	text += base != 0 ? 2 : 1;
	if (!isxdigit((unsigned char)*text))
		return false;
	char *end;
	unsigned long long whole = strtoull(text, &end, base != 0 ? base : 8);
	*value = is_negative ? -(double)whole : (double)whole;
	return *end == '\0';
}

/* YAML 1.1 has them in numbers for the eye.  A text that is no number is left as it is. */
static const char *without_underscores(const char *text, char bare[MAX_NUMBER])
{
	size_t size = 0;
	if (strchr(text, '_') == NULL || strlen(text) >= MAX_NUMBER || strchr("+-0123456789", *text) == NULL)
		return text;
	for (const char *at = text; *at != '\0'; at++)
		if (*at != '_')
			bare[size++] = *at;
	bare[size] = '\0';
	return bare;
}

static bool parse_number(const char *text, double *value)
{
	static const char *const infinite[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
	static const char *const negative[] = {"-.inf", "-.Inf", "-.INF", NULL};
	static const char *const none[] = {".nan", ".NaN", ".NAN", NULL};
	if (is_one_of(text, infinite) || is_one_of(text, negative)) {
		*value = *text == '-' ? -HUGE_VAL : HUGE_VAL;
		return true;
	}
	if (is_one_of(text, none)) {
		*value = (double)NAN;
		return true;
	}
	char bare[MAX_NUMBER] = {0};
	text = without_underscores(text, bare);
	if (parse_based(text, value))
		return true;
	if (!is_decimal(text))
		return false;
	*value = strtod(text, NULL);
	return true;
}

static void push_plain(lua_State *L, const char *text, size_t size)
{
	double value;
	if (is_null(text))
		lua_pushnil(L);
	else if (is_true(text) || is_false(text))
		lua_pushboolean(L, is_true(text));
	else if (parse_number(text, &value))
		lua_pushnumber(L, value);
	else
		lua_pushlstring(L, text, size);
}

/* The Lua type that a tag asks for; NULL when it is none of ours. */
static const char *type_of_tag(const char *tag)
{
	static const char *const types[][2] = {
		{"str", "string"}, {"int", "number"}, {"float", "number"}, {"bool", "boolean"},
		{"null", "nil"},   {"map", "table"},  {"seq", "table"},
	};
	size_t prefix = strlen(TAG_PREFIX);
	if (strcmp(tag, "!") == 0)
		return "string";
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strncmp(tag, TAG_PREFIX, prefix) == 0 && strcmp(tag + prefix, types[i][0]) == 0)
			return types[i][1];
	return NULL;
}

static int push_scalar(struct reader *reader)
{
	const char *text = (const char *)reader->event.data.scalar.value;
	size_t size = reader->event.data.scalar.length;
	const char *tag = (const char *)reader->event.data.scalar.tag;
	const char *type = tag != NULL ? type_of_tag(tag) : NULL;
	if (memchr(text, '\0', size) != NULL)
		return refuse(reader, "text with a NUL character is not supported");
	if (tag != NULL && type == NULL)
		return refuse(reader, "tags other than those of plain values are not supported");
	if (type != NULL ? strcmp(type, "string") == 0 : !reader->event.data.scalar.plain_implicit)
		lua_pushlstring(reader->L, text, size);
	else
		push_plain(reader->L, text, size);
	if (type == NULL || strcmp(luaL_typename(reader->L, -1), type) == 0)
		return 0;
	lua_pop(reader->L, 1);
	return refuse(reader, "the value is not what its tag says");
}

/* ---- lists and mappings ---- */

static int push_value(struct reader *reader, int depth);

static int check_collection(struct reader *reader, const yaml_char_t *tag, int depth)
{
	if (depth >= MAX_DEPTH || !lua_checkstack(reader->L, 6))
		return refuse(reader, "nested too deeply; at most 64 levels are supported");
	const char *type = tag != NULL ? type_of_tag((const char *)tag) : "table";
	if (type == NULL || strcmp(type, "table") != 0)
		return refuse(reader, "tags other than those of plain values are not supported");
	return 0;
}

static int push_list(struct reader *reader, int depth)
{
	lua_State *L = reader->L;
	int index = 0;
	int code = check_collection(reader, reader->event.data.sequence_start.tag, depth);
	if (code != 0)
		return code;
	lua_newtable(L);
	luaL_getmetatable(L, KON_JSON_ARRAY);
	lua_setmetatable(L, -2);
	while ((code = next(reader)) == 0 && reader->event.type != YAML_SEQUENCE_END_EVENT) {
		code = push_value(reader, depth + 1);
		if (code == 0 && lua_isnil(L, -1))
			code = refuse(reader, "an element of the list is empty");
		if (code != 0)
			return code;
		lua_rawseti(L, -2, ++index);
	}
	return code;
}

/* Pushes the key, which is the current event; the table of the keys before it is at seen. */
static int push_key(struct reader *reader, int seen)
{
	lua_State *L = reader->L;
	if (reader->event.type == YAML_ALIAS_EVENT)
		return push_value(reader, 0); /* refuses it */
	if (reader->event.type != YAML_SCALAR_EVENT)
		return refuse(reader, "a key must be text");
	const char *text = (const char *)reader->event.data.scalar.value;
	size_t size = reader->event.data.scalar.length;
	if (memchr(text, '\0', size) != NULL)
		return refuse(reader, "text with a NUL character is not supported");
	lua_pushlstring(L, text, size);
	lua_pushvalue(L, -1);
	lua_rawget(L, seen);
	bool known = !lua_isnil(L, -1);
	lua_pop(L, 1);
	if (!known) {
		lua_pushvalue(L, -1);
		lua_pushboolean(L, 1);
		lua_rawset(L, seen);
		return 0;
	}
	const yaml_mark_t *at = &reader->event.start_mark;
	return kon_err_set(reader->err, KON_CONFIG, "%s:%zu:%zu: the key \"%.80s\" stands twice", reader->name,
	                   at->line + 1, at->column + 1, text);
}

static int push_mapping(struct reader *reader, int depth)
{
	lua_State *L = reader->L;
	int code = check_collection(reader, reader->event.data.mapping_start.tag, depth);
	if (code != 0)
		return code;
	lua_newtable(L); /* of the keys, those without a value included */
	lua_newtable(L);
	int table = lua_gettop(L);
	while ((code = next(reader)) == 0 && reader->event.type != YAML_MAPPING_END_EVENT) {
		if ((code = push_key(reader, table - 1)) != 0 || (code = next(reader)) != 0 ||
		    (code = push_value(reader, depth + 1)) != 0)
			return code;
		lua_rawset(L, table);
	}
	lua_remove(L, table - 1);
	return code;
}

/* Pushes the value that begins with the current event, and ends at its last one. */
static int push_value(struct reader *reader, int depth)
{
	switch (reader->event.type) {
	case YAML_SCALAR_EVENT:
		return push_scalar(reader);
	case YAML_SEQUENCE_START_EVENT:
		return push_list(reader, depth);
	case YAML_MAPPING_START_EVENT:
		return push_mapping(reader, depth);
	case YAML_ALIAS_EVENT:
		return refuse(reader, "aliases are not supported; write the value out");
	default:
		return refuse(reader, "a value was expected");
	}
}

static int push_document(struct reader *reader)
{
	int code = next(reader); /* the stream begins */
	if (code == 0)
		code = next(reader);
	if (code != 0)
		return code;
	if (reader->event.type == YAML_STREAM_END_EVENT)
		return kon_err_set(reader->err, KON_ABSENT, "%s is empty", reader->name);
	if ((code = next(reader)) != 0 || (code = push_value(reader, 0)) != 0 || (code = next(reader)) != 0 ||
	    (code = next(reader)) != 0)
		return code;
	if (reader->event.type != YAML_STREAM_END_EVENT)
		return refuse(reader, "there is more than one document; only one is supported");
	if (lua_isnil(reader->L, -1))
		return kon_err_set(reader->err, KON_ABSENT, "%s is empty", reader->name);
	return 0;
}

int kon_yaml_push(lua_State *L, const char *text, size_t size, const char *name, struct kon_err *err)
{
	struct reader reader = {.L = L, .name = name, .text = text, .size = size, .err = err};
	int top = lua_gettop(L);
	if (!yaml_parser_initialize(&reader.parser))
		return kon_err_set(err, KON_SYSTEM, "%s: out of memory", name);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
	int code = push_document(&reader);
	if (reader.has_event)
		yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	if (code != 0)
		lua_settop(L, top);
	return code;
}

/* ---- konductor.core.yaml ---- */

/* core.yaml.decode(text, name) -> value | nil, word, sentence */
static int lua_decode(lua_State *L)
{
	struct kon_err err = {0};
	size_t size;
	const char *text = luaL_checklstring(L, 1, &size);
	const char *name = luaL_optstring(L, 2, "YAML");
	return kon_yaml_push(L, text, size, name, &err) == 0 ? 1 : kon_lua_fail(L, &err);
}

int kon_lua_open_yaml(lua_State *L)
{
	static const luaL_Reg functions[] = {{"decode", lua_decode}, {NULL, NULL}};
	lua_newtable(L);
	luaL_register(L, NULL, functions);
	return 1;
}

--- Entry of koncli, the same program as konductor under another name: finds noun and verb.
---
--- Each verb is a module koncli.NOUN.VERB, loaded only when it is asked for.

local core = require "konductor.core"
local exit = require "koncli.exit"

local M = {}

--- The verbs of each noun, in the order of the help.
M.VERBS = {
  once = {
    "create", "check", "status", "list", "run", "claim", "done", "fail", "reset", "resolve", "delete",
  },
  lease = { "create", "acquire", "renew", "release", "run", "status", "list", "delete" },
}

--- Commands without a verb, each a module koncli.NAME; those of the store take its options.
M.PLAIN = { "version", "help", "completion" }
M.OF_STORE = { "status" }

local WORDS = { "once", "lease", "status", unpack(M.PLAIN) }
local ALIASES = { ["--version"] = "version", ["-V"] = "version", ["--help"] = "help", ["-h"] = "help" }

local function contains(list, word)
  for _, member in ipairs(list) do
    if member == word then
      return true
    end
  end
  return false
end

--- Whether it is a command without a verb that takes the options of the store.
---@param word string
---@return boolean
function M.is_of_store(word)
  return contains(M.OF_STORE, word)
end

--- Whether a command starts with this word.
---@param word string
---@return boolean
function M.is_word(word)
  return contains(WORDS, word)
end

--- One sentence on standard error.
---@param sentence string
---@return integer exit_code
function M.complain(sentence)
  core.write(2, ("koncli: %s\nTry: koncli help\n"):format(sentence))
  return exit.USAGE
end

-- What other programs call a verb.
local ELSEWHERE = {
  get = "status", describe = "status", show = "status", ls = "list", rm = "delete", remove = "delete",
}

-- The end of a sentence about a word that is not in the list.
local function instead(word, list)
  local quote = require("konductor.text").quote
  local meant = ELSEWHERE[word]
  local nearest = contains(list, meant) and meant or require("konductor.text").nearest(word, list)
  return ("%s; %s"):format(quote(word),
    nearest and ("did you mean %s?"):format(quote(nearest)) or "there are " .. table.concat(list, ", "))
end

--- What is wrong with a noun and a verb: a sentence, or nil.
---@param noun string
---@param verb? string
---@return string?
function M.unknown(noun, verb)
  local verbs = M.VERBS[noun]
  if not verbs then
    return "there is no command " .. instead(noun, WORDS)
  elseif not verb then
    return ("koncli %s needs a verb: %s"):format(noun, table.concat(verbs, ", "))
  elseif contains(verbs, verb) then
    return nil
  end
  return ("koncli %s has no verb %s"):format(noun, instead(verb, verbs))
end

-- Options may stand before noun and verb; their verb reads them.
local function words_first(argv)
  local args = require "koncli.args"
  local own = {}
  local at = args.hoist(argv, 1, own)
  local noun = argv[at]
  local verb_at = args.hoist(argv, at + 1, own)
  local verb = argv[verb_at]
  for i = verb_at + 1, #argv do
    own[#own + 1] = argv[i]
  end
  return noun, verb, own
end

---@param argv string[]  argv[0] is the name of the program
---@return integer exit_code
function M.main(argv)
  local first = ALIASES[argv[1]] or argv[1]
  if not first then
    core.write(2, require("koncli.help").OVERVIEW)
    return exit.USAGE
  elseif contains(M.PLAIN, first) then
    return require("koncli." .. first).run { unpack(argv, 2) }
  end
  local noun, verb, own = words_first(argv)
  if not noun then
    return M.complain "no command is named"
  elseif contains(M.OF_STORE, noun) then
    own[#own + 1] = verb -- one word too many
    return require("koncli.command").run(nil, noun, own)
  elseif M.VERBS[noun] and not verb and (contains(own, "--help") or contains(own, "-h")) then
    return require("koncli.help").run { noun }
  end
  local wrong = M.unknown(noun, verb)
  if wrong then
    return M.complain(wrong)
  end
  return require("koncli.command").run(noun, verb, own)
end

return M

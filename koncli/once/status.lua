--- `koncli once status NAME`.

local show = require "koncli.show"

---@type koncli.Verb
return {
  summary = "Shows one Once and what to do about it.",
  names = true,
  examples = [[
  koncli once status shop
  koncli once status shop -o json | jq .status]],
  run = show.status,
}

--- `koncli lease status NAME`.

local show = require "koncli.show"

---@type koncli.Verb
return {
  summary = "Shows one Lease and what to do about it.",
  names = true,
  examples = [[
  koncli lease status shop
  koncli lease status shop -o json | jq .status]],
  run = show.status,
}

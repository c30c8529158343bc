# Turn a file of UCI into assignments of the shell.
function shell(text) {
	gsub(/'/, "'\\''", text)
	return "'" text "'"
}

# The words of one line; a quoted word may go on over lines.
function split_words(line, words,    count, at, char, quote, open) {
	count = 0
	open = 0
	for (at = 1; at <= length(line); at++) {
		char = substr(line, at, 1)
		if (quote != "") {
			if (char == quote) quote = ""
			else words[count] = words[count] char
			if (quote != "" && at == length(line) && (getline more) > 0) line = line "\n" more
		} else if (char == "'" || char == "\"") {
			quote = char
			if (!open) { words[++count] = ""; open = 1 }
		} else if (char == " " || char == "\t") {
			open = 0
		} else if (char == "#" && !open) {
			break
		} else {
			if (!open) { words[++count] = ""; open = 1 }
			words[count] = words[count] char
		}
	}
	return count
}

{
	delete words
	if (!split_words($0, words)) next
	if (words[1] == "config") {
		section = words[3] != "" ? words[3] : sprintf("cfg%02x0000", ++sections)
		print "CONFIG_SECTIONS=\"$CONFIG_SECTIONS " section "\" CONFIG_" section "_TYPE=" shell(words[2])
		next
	}
	name = "CONFIG_" section "_" words[2]
	if (words[1] == "option") print name "=" shell(words[3])
	if (words[1] == "list") {
		length_of[name]++
		joined[name] = joined[name] (length_of[name] > 1 ? " " : "") words[3]
		print name "_ITEM" length_of[name] "=" shell(words[3])
		print name "_LENGTH=" length_of[name] " " name "=" shell(joined[name])
	}
}

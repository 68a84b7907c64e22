"""Strings on which pre-tokenizers differ."""
STRINGS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\t\n", "\r\n\r\n", " \n \n", "Hello world", " Hello world",
    "Hello World", " Hello World!", "Hello, world!", " Hello, y'all! How are you 😁 ?我想在apple工作1314151天～", "w048 7tuijk dsdfhu",
    "нещо на Български", "កាន់តែពិសេសអាចខលចេញ", "🚀 (normal) 😶‍🌫️ (multiple emojis concatenated) ✅ (only emoji that has its own token)",
    " (", "\n =", "' era", "Hello, y'all! don't I'LL we'VE 'S it's", "3", "33", "333", "3333", "33333", "333333", "3333333",
    "33333333", "x=1234567.89; y=0x1F", "Cửa Việt", " discards", "camelCase PascalCase snake_case HTTPServer iPhone XMLHttpRequest",
    "Straße ÄÖÜ naïve ǅungla ʰa ªb", "日本語とEnglishを混ぜる。東京、ひらがなカタカナ", "한국어 텍스트 ㄱㄴ", "中文，标点：“引号”——破折号…",
    "مرحبا بالعالم، ١٢٣", "नमस्ते दुनिया १२३", "สวัสดีชาวโลก ๑๒๓", "x² + y³ = ½ Ⅷ ①", "a+b=c<d>e^f~g|h`i$j", "foo//bar\n/* c */\n\treturn x;\n}\n",
    "    indented\n        more\n", "trailing   ", "a\u00a0b\u3000c\u2009d", "!!!???...", "<|im_start> [x](y) {z}", "“Smart” ‘quotes’ — dash",
    "e\u0301 A\u030a", "\u200bzero\u200dwidth", "Ünïcödé ÇA VA", "a1b2c3", "1,234,567 12 345", "#tag @user $9.99 50%", "C'est l'été", "O'Brien's'll",
]

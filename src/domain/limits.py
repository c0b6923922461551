"""Every bound of the program in one place, each with its reason, asserted against each other at the end."""

from datetime import timedelta

# --- purchases ---------------------------------------------------------------------------------------------------------

# The largest real basket measured has 161 lines; 200 of them compress to well under 4 KB in the claim.
PURCHASE_LINES_MAX = 200
# Fuel and weighed goods are counted in millilitres and grams: real lines reach 89,638.
LINE_QUANTITY_MAX = 1_000_000
# Minor units. Ten billion whole units: beyond any till, and far inside exact JSON integers.
AMOUNT_MINOR_MAX = 10**12
# A till may have been offline for a stock year; later than that it is a mistake in the date.
OCCURRED_AGE_MAX = timedelta(days=400)
# Clocks of tills run ahead a little; five minutes is the tolerance most token issuers use as well.
OCCURRED_AHEAD_MAX = timedelta(minutes=5)

# --- points ------------------------------------------------------------------------------------------------------------

# One correction by hand. Larger ones are typing errors, or several corrections.
ADJUSTMENT_POINTS_MAX = 10**9
# Clients read points as JSON numbers: 2^53 - 1 is the largest integer that all of them read exactly.
POINTS_MAX = 2**53 - 1
# Above this the two closest neighbours merge into the later date, which keeps an entry within one write unit.
BUCKETS_MAX = 60

# --- texts (characters) ------------------------------------------------------------------------------------------------

# Keys are part of a DynamoDB key (2,048 bytes at most); four bytes a character and the prefixes fit.
KEY_LENGTH_MAX = 256
SOURCE_LENGTH_MAX = 64
NAME_LENGTH_MAX = 200
EXTERNAL_ID_LENGTH_MAX = 128
# RFC 5321: a path is at most 256 octets, brackets included.
EMAIL_LENGTH_MAX = 254
# ITU-T E.164: at most 15 digits.
PHONE_DIGITS_MAX = 15
PHONE_DIGITS_MIN = 7
LABEL_LENGTH_MAX = 64  # location, channel, SKU, category: they are stored with every entry or basket line
REASON_LENGTH_MAX = 64

# --- the program ------------------------------------------------------------------------------------------------------

# Locations, and rewards, of one program. A thousand rewards with a sentence each are about 150 KB.
PROGRAM_LIST_MAX = 1_000
# A program is one item, and an item holds at most 400 KB (AWS limit), names and keys included.
PROGRAM_BYTES_MAX = 380_000

# --- reading -----------------------------------------------------------------------------------------------------------

ENTRIES_PAGE_DEFAULT = 10
ENTRIES_PAGE_MAX = 100
REWARDS_PAGE_MAX = 100

# --- committing --------------------------------------------------------------------------------------------------------

# An attempt is lost only when another writer's append won, so with n writers on one account n attempts are enough. What ends
# the attempts of a hot account in practice is the request's deadline (`Store.pause`).
COMMIT_ATTEMPTS_MAX = 500
# Entries read back to find a key after the sequence its claim has seen; each page is one strong query.
RESUME_PAGE = 100
RESUME_PAGES_MAX = 100

# Claims of everything but purchases may be forgotten after this; the contract promises at least 30 days.
CLAIM_RETENTION = timedelta(days=35)
# A due row outlives its day long enough for whoever comes late to read it.
DUE_RETENTION = timedelta(days=60)

assert AMOUNT_MINOR_MAX < POINTS_MAX
assert ADJUSTMENT_POINTS_MAX < POINTS_MAX
assert ENTRIES_PAGE_DEFAULT <= ENTRIES_PAGE_MAX
# A caller's own key: its subject (255 ASCII characters by OpenID Connect, three bytes each when escaped) and the key.
assert 3 * 255 + 4 * KEY_LENGTH_MAX + 16 < 2_048
assert timedelta(days=30) < CLAIM_RETENTION

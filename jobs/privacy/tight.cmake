# The tight accountants, which report plans; the ledger needs none of them.
target_sources(ppt_privacy PRIVATE fft.c normal.c gdp.c atoms.c pair.c pmf.c profile.c
    compose.c pld.c)

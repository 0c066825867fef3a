"""The 90 locales of a release, as the archive spells them."""

LOCALES = """
    ach af an ar as ast az be bg bn-BD bn-IN br bs ca cak cs cy da de dsb el en-GB en-US en-ZA eo
    es-AR es-CL es-ES es-MX et eu fa ff fi fr fy-NL ga-IE gd gl gn gu-IN he hi-IN hr hsb hu hy-AM
    id is it ja ja-JP-mac ka kab kk km kn ko lij lt lv mai mk ml mr ms my nb-NO ne-NP nl nn-NO or
    pa-IN pl pt-BR pt-PT rm ro ru si sk sl son sq sr sv-SE ta te th tr
""".split()  # noqa: SIM905
